// What is allowed and should not stay as it is: each one line, without secrets.
import type { Choice } from './choice.ts'
import type { OptionPath } from './options.ts'
import type { BrokerSettings, DeadLetterSettings, Settings } from './settings.ts'

const tlsFiles: readonly OptionPath[] = ['broker.tls.ca', 'broker.tls.cert', 'broker.tls.key']

/** The warnings these settings deserve. */
export function warningsAbout(
  {
    broker,
    deadLetter,
    maxPacketBytes,
    qos2,
  }: Pick<Settings, 'broker' | 'deadLetter' | 'maxPacketBytes' | 'qos2'>,
  choice: Choice,
): readonly string[] {
  return [
    ...aboutPassword(broker, choice.source('broker.password')),
    ...aboutIgnoredTls(broker, choice),
    ...aboutSession(broker, choice),
    ...aboutDeadLetters(deadLetter, choice),
    ...aboutLargeLetters(deadLetter, maxPacketBytes),
    ...aboutQos2(qos2, broker, choice),
  ]
}

function aboutPassword(
  { password, passwordFile, tls, host, transport, address }: BrokerSettings,
  source: string,
): readonly string[] {
  const warnings: string[] = []
  if (password === undefined && passwordFile === undefined) return warnings
  if (password !== undefined && source.startsWith('flag')) {
    warnings.push(
      `the password was given on the command line (${source}), where every user of this machine can read it: ` +
        'set MQTT_PASSWORD in the environment instead',
    )
  }
  if (tls === undefined && transport !== 'unix' && !isLoopback(host)) {
    warnings.push(`the password goes to ${address} unencrypted: use mqtts:// or --use-ssl`)
  }
  return warnings
}

// Within one level this is refused; a stronger level may say that TLS is off, but not unheard.
function aboutIgnoredTls({ tls }: BrokerSettings, choice: Choice): readonly string[] {
  const ignored = tlsFiles.find((path) => choice.given(path) !== undefined)
  if (tls !== undefined || ignored === undefined) return []
  const why = choice.given('broker.tls') ?? choice.given('broker.socketPath')
  return [`TLS is off (${why?.source}), and ${ignored} (${choice.source(ignored)}) is not used`]
}

function aboutSession(
  { clean, protocolVersion, sessionExpirySeconds }: BrokerSettings,
  choice: Choice,
): readonly string[] {
  const source = choice.source('broker.sessionExpiry')
  if (protocolVersion === 4) {
    if (choice.given('broker.sessionExpiry') === undefined) return []
    return [`broker.sessionExpiry (${source}) has no effect: MQTT 3.1.1 knows no expiry`]
  }
  if (clean || sessionExpirySeconds > 0) return []
  return [
    `broker.sessionExpiry (${source}) is 0, and on MQTT 5 the broker forgets the session when the connection ends, though clean ` +
      'is false: what is published while this process is away is lost. Leave it out, or give the seconds you may be away',
  ]
}

// Such a letter is never kept, and its message never acknowledged.
function aboutLargeLetters(
  { maxBytes, store }: DeadLetterSettings,
  maxPacketBytes: number,
): readonly string[] {
  if ((store !== 'journal' && store !== 'redis') || maxBytes >= maxPacketBytes) return []
  return [
    `deadLetter.maxBytes (${maxBytes}) is less than maxPacketBytes (${maxPacketBytes}): a larger message that fails could never be kept, and would stay unacknowledged`,
  ]
}

function aboutDeadLetters({ store, redis }: DeadLetterSettings, choice: Choice): readonly string[] {
  const warnings = (['topic', 'redis'] as const)
    .map((name) => ({ name, given: choice.given(`deadLetter.${name}`) }))
    .flatMap(({ name, given }) =>
      given === undefined || name === store
        ? []
        : [`deadLetter.${name} (${given.source}) has no effect: deadLetter.store is ${store}`],
    )
  const source = choice.source('deadLetter.redis')
  if (redis?.url.reveal().includes('@') === true && source.startsWith('flag')) {
    warnings.push(
      `the address of Redis was given on the command line (${source}), where every user of this machine can read ` +
        'its password: set MQTTASGI_DEAD_LETTER_REDIS in the environment instead',
    )
  }
  return warnings
}

function aboutQos2(qos2: Settings['qos2'], { clean }: BrokerSettings, choice: Choice): readonly string[] {
  if (qos2 === 'downgrade' || !clean) return []
  return [
    `qos2 is durable (${choice.source('qos2')}), and the session is clean: a message that is not acknowledged ` +
      'goes with the connection, so nothing is kept. clean: false with a clientId changes that',
  ]
}

/** Whether a host is this machine, by its name. */
export function isLoopback(host: string): boolean {
  return (
    host === 'localhost' || host.endsWith('.localhost') || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
  )
}
