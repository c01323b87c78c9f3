// The one table of how a broker can refuse or end a connection, and what each code means for the next try.
import { reasonText } from './reason-codes.ts'

/**
 * version: ask for another protocol version · credentials: final before the first connection, later read again and
 * tried again with patience · final: no try will mend it · passing: it is tried again · takeover: another client
 * uses our client id.
 */
export type RefusalClass = 'version' | 'credentials' | 'final' | 'passing' | 'takeover'

/** One code. */
export interface Refusal {
  readonly class: RefusalClass
  /** Why it is of this class. */
  readonly reason: string
  /** What people can do, to stand behind what happened; a full stop where there is nothing. */
  readonly mend: string
}

const later = ': it may take it later.'
const otherId = ': try another client id.'
const otherVersion = ': ask for another protocol version.'
const checkCredentials = ': check user name and password, and what they may do.'
const ourPacket = 'it would be refused as it is each time'

function entry(kind: RefusalClass, reason: string, mend = '.'): Refusal {
  return { class: kind, reason, mend }
}

/** CONNACK: 3.1.1 (3.2.2.3) below 0x80, MQTT 5 (3.2.2.2) from there on. */
export const connackRefusals: ReadonlyMap<number, Refusal> = new Map([
  [0x01, entry('version', 'the broker has no MQTT 5', otherVersion)],
  [0x02, entry('final', 'the client id stays the same', otherId)],
  [0x03, entry('passing', 'the broker is there, its service not yet', later)],
  [0x04, entry('credentials', 'they may be replaced while we run', checkCredentials)],
  [0x05, entry('credentials', 'rights may be given while we run', checkCredentials)],
  [0x80, entry('passing', 'nothing is known of it')],
  [0x81, entry('final', ourPacket)],
  [0x82, entry('final', ourPacket)],
  [0x83, entry('passing', 'nothing is known of it')],
  [0x84, entry('version', 'the broker has no MQTT 5', otherVersion)],
  [0x85, entry('final', 'the client id stays the same', otherId)],
  [0x86, entry('credentials', 'they may be replaced while we run', checkCredentials)],
  [0x87, entry('credentials', 'rights may be given while we run', checkCredentials)],
  [0x88, entry('passing', 'the broker is there, its service not yet', later)],
  [0x89, entry('passing', 'it will have less to do', later)],
  [0x8a, entry('final', 'people have decided so', ': ask whoever runs it.')],
  [
    0x8c,
    entry('final', 'we have only this one', ': it wants another way to log in than user name and password.'),
  ],
  [0x90, entry('final', ourPacket)],
  [0x95, entry('final', ourPacket, ': it takes smaller ones only.')],
  [0x97, entry('passing', 'others will leave', later)],
  [0x99, entry('final', ourPacket)],
  [0x9a, entry('final', ourPacket)],
  [0x9b, entry('final', ourPacket)],
  [0x9c, entry('passing', 'it says that this is for a time', ': it may take it later.')],
  [0x9d, entry('final', 'it says that this is for good', ': connect there.')],
  [0x9f, entry('passing', 'the rate will fall', later)],
])

/** DISCONNECT from the broker (3.14.2.1), which only MQTT 5 has. */
export const dismissals: ReadonlyMap<number, Refusal> = new Map([
  [0x00, entry('passing', 'it gives no reason')],
  [0x80, entry('passing', 'nothing is known of it')],
  [0x81, entry('passing', 'what we sent may be another packet next time')],
  [0x82, entry('passing', 'what we sent may be another packet next time')],
  [0x83, entry('passing', 'nothing is known of it')],
  [0x87, entry('passing', 'a token may have run out; it is read again', checkCredentials)],
  [0x89, entry('passing', 'it will have less to do')],
  [0x8b, entry('passing', 'it may start again')],
  [0x8d, entry('passing', 'the network may carry our pings again')],
  [0x8e, entry('takeover', 'the one that connected later gives way')],
  [0x8f, entry('passing', 'the filter may be gone next time', ': check the filters of the routes.')],
  [0x90, entry('passing', 'the topic may be another next time', ': check what is published.')],
  [0x93, entry('passing', 'fewer may be under way next time')],
  [0x94, entry('passing', 'we use no aliases')],
  [0x95, entry('passing', 'the packet may be gone next time', ': it takes smaller ones only.')],
  [0x96, entry('passing', 'the rate will fall', ': publish less.')],
  [0x97, entry('passing', 'the quota may be renewed', ': raise the quota at the broker.')],
  [0x98, entry('passing', 'people ended this connection, not the next one')],
  [0x99, entry('passing', 'the payload may be another next time', ': check what is published.')],
  [0x9a, entry('passing', 'the publication may be gone next time', ': publish without retain.')],
  [0x9b, entry('passing', 'the publication may be gone next time', ': publish with a lower QoS.')],
  [0x9c, entry('passing', 'it says that this is for a time')],
  [0x9d, entry('final', 'it says that this is for good', ': connect there.')],
  [0x9e, entry('passing', 'the route may be gone next time', ': subscribe without $share.')],
  [0x9f, entry('passing', 'the rate will fall')],
  [0xa0, entry('passing', 'it asks for nothing but a new connection')],
  [0xa1, entry('passing', 'it contradicts its own CONNACK')],
  [0xa2, entry('passing', 'the route may be gone next time', ': subscribe without + and #.')],
])

const unknown = entry('passing', 'nothing is known of it')

/** What a code of CONNACK means. */
export function connackRefusal(code: number): Refusal {
  return connackRefusals.get(code) ?? unknown
}

/** What a code of the broker's DISCONNECT means. */
export function dismissalOf(code: number): Refusal {
  return dismissals.get(code) ?? unknown
}

/** The table for people, as Markdown. */
export function renderRefusals(): string {
  const rows = (packet: string, table: ReadonlyMap<number, Refusal>): string[] =>
    [...table].map(
      ([code, refusal]) => `| ${packet} | ${reasonText(code)} | ${refusal.class} | ${refusal.reason} |`,
    )
  return [
    '| packet | code | what follows | why |',
    '| --- | --- | --- | --- |',
    ...rows('CONNACK', connackRefusals),
    ...rows('DISCONNECT', dismissals),
  ].join('\n')
}
