// The reason codes of MQTT, and text of the broker's, in words for people.

/** The meaning of CONNACK's codes in 3.1.1 (3.2.2.3) and of the reason codes of CONNACK and DISCONNECT in MQTT 5. */
const meanings: ReadonlyMap<number, string> = new Map([
  [0x01, 'protocol version not accepted'],
  [0x02, 'client id rejected'],
  [0x03, 'server unavailable'],
  [0x04, 'bad user name or password'],
  [0x05, 'not authorized'],
  [0x80, 'unspecified error'],
  [0x81, 'malformed packet'],
  [0x82, 'protocol error'],
  [0x83, 'implementation specific error'],
  [0x84, 'protocol version not supported'],
  [0x85, 'client id not valid'],
  [0x86, 'bad user name or password'],
  [0x87, 'not authorized'],
  [0x88, 'server unavailable'],
  [0x89, 'server busy'],
  [0x8a, 'banned'],
  [0x8b, 'server shutting down'],
  [0x8c, 'bad authentication method'],
  [0x8d, 'keep alive timeout'],
  [0x8e, 'session taken over'],
  [0x8f, 'topic filter invalid'],
  [0x90, 'topic name invalid'],
  [0x93, 'receive maximum exceeded'],
  [0x94, 'topic alias invalid'],
  [0x95, 'packet too large'],
  [0x96, 'message rate too high'],
  [0x97, 'quota exceeded'],
  [0x98, 'administrative action'],
  [0x99, 'payload format invalid'],
  [0x9a, 'retain not supported'],
  [0x9b, 'QoS not supported'],
  [0x9c, 'use another server'],
  [0x9d, 'server moved'],
  [0x9e, 'shared subscriptions not supported'],
  [0x9f, 'connection rate exceeded'],
  [0xa0, 'maximum connect time'],
  [0xa1, 'subscription identifiers not supported'],
  [0xa2, 'wildcard subscriptions not supported'],
])

/** `0x87, not authorized`: a reason code of any packet, for people. */
export function reasonText(code: number): string {
  const hex = `0x${code.toString(16).padStart(2, '0')}`
  const meaning = meanings.get(code)
  return meaning === undefined ? hex : `${hex}, ${meaning}`
}

/** Text from the other side, fit for one line of a terminal: no control characters, not long. */
export function plain(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202A-\u202E\u2066-\u2069]/gu, ' ')
  return line.length > 200 ? `${line.slice(0, 199)}…` : line
}
