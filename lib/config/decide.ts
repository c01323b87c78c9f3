// Makes settings of what was given: resolves what follows from what, and refuses what does not go together.
import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import { MqttasgiError } from '../core/errors.ts'
import { defaultPort } from './broker-url.ts'
import { decideChannels } from './channels.ts'
import { Choice } from './choice.ts'
import { decideDeadLetter } from './dead-letter.ts'
import { filtersOf } from './filters.ts'
import { overlapOf, shareProbeOf } from './decide-subscribing.ts'
import type { Level } from './levels.ts'
import type { OptionPath } from './options.ts'
import { decideOutbox } from './outbox.ts'
import { Secret } from './secret.ts'
import type { BrokerSettings, Settings, TlsSettings } from './settings.ts'
import { readTls } from './tls.ts'
import { warningsAbout } from './warnings.ts'
import { decideWill } from './will.ts'

/** What has no flag and no variable: it comes as it is. */
export interface Rest extends Pick<Settings, 'application' | 'workers' | 'file' | 'warnings'> {
  readonly sources: Readonly<Record<string, string>>
  /** What relative defaults are relative to. */
  readonly directory: string
}

type Transport = BrokerSettings['transport']

const keptSessionSeconds = 3_600
const cleanNotice =
  'clean session: what is published while this process is away is lost; ' +
  'clean: false with a clientId keeps it (on the command line -c false -i ID)'

/**
 * Settings from levels, the strongest first. Codes: `ERR_CONFIG_VALUE`, `ERR_CONFIG_CONFLICT`,
 * `ERR_CONFIG_INCOMPLETE`, `ERR_CONFIG_TLS`.
 */
export function decide(given: readonly Level[], rest: Rest): Settings {
  const choice = new Choice(given)
  const levels = choice.given('maxTopicLevels')
  const broker = decideBroker(choice)
  const qos2: Settings['qos2'] = choice.text('qos2') === 'durable' ? 'durable' : 'downgrade'
  const deadLetter = decideDeadLetter(choice, broker)
  const maxPacketBytes = choice.number('maxPacketBytes')
  const verbosity = choice.number('verbosity')
  return Object.freeze({
    broker,
    application: rest.application,
    workers: rest.workers,
    overlap: overlapOf(choice),
    drainTimeoutMs: Math.round(choice.number('drainTimeout') * 1_000),
    leaveOnStop: choice.isOn('leaveOnStop'),
    maxInFlight: choice.number('maxInFlight'),
    maxInFlightBytes: choice.number('maxInFlightBytes'),
    maxPacketBytes,
    maxTopicLevels: levels === undefined ? undefined : Number(levels.value),
    maxHops: choice.number('maxHops'),
    replyTopics: filtersOf(choice, 'replyTopics', 'clients/+/replies/#'),
    qos2,
    stateDir: resolve(rest.directory, choice.text('stateDir') ?? ''),
    deadLetter,
    outbox: decideOutbox(choice, deadLetter),
    channels: decideChannels(choice),
    verbosity: verbosity === 0 || verbosity === 1 ? verbosity : 2,
    file: rest.file,
    sources: { ...choice.sources(), ...rest.sources },
    warnings: [...rest.warnings, ...warningsAbout({ broker, deadLetter, maxPacketBytes, qos2 }, choice)],
    notices: broker.clean ? [cleanNotice] : [],
  })
}

function decideBroker(choice: Choice): BrokerSettings {
  const transport = transportOf(choice)
  const tls = tlsOf(choice, transport)
  const given = choice.given('broker.port')
  const port =
    given === undefined || given.implied
      ? defaultPort(transport, tls !== undefined)
      : choice.number('broker.port')
  const place = {
    transport,
    tls,
    host: choice.text('broker.host') ?? 'localhost',
    port,
    socketPath: transport === 'unix' ? choice.text('broker.socketPath') : undefined,
    wsPath: wsPathOf(choice, transport),
  }
  return Object.freeze({
    ...place,
    address: addressOf(place),
    ...sessionOf(choice),
    will: decideWill(choice),
    ...credentialsOf(choice),
    keepaliveSeconds: choice.number('broker.keepalive'),
    connectTimeoutMs: Math.round(choice.number('broker.connectTimeout') * 1_000),
    shareProbe: shareProbeOf(choice),
    retries: choice.number('broker.retries'),
  })
}

function transportOf(choice: Choice): Transport {
  const transport = choice.text('broker.transport')
  return transport === 'unix' || transport === 'websockets' ? transport : 'tcp'
}

function tlsOf(choice: Choice, transport: Transport): TlsSettings | undefined {
  if (!choice.isOn('broker.tls')) return undefined
  if (transport === 'unix') {
    if (choice.rank('broker.tls') > choice.rank('broker.socketPath')) return undefined
    throw conflict(choice, 'broker.tls', 'broker.socketPath', 'A unix socket is not encrypted.')
  }
  return readTls({
    ca: choice.given('broker.tls.ca'),
    cert: choice.given('broker.tls.cert'),
    key: choice.given('broker.tls.key'),
    servername: choice.given('broker.tls.servername'),
    alpn: choice.given('broker.tls.alpn'),
  })
}

function wsPathOf(choice: Choice, transport: Transport): string {
  const path = choice.text('broker.wsPath') ?? '/mqtt'
  const source = choice.source('broker.wsPath')
  if (!path.startsWith('/')) {
    const message = `broker.wsPath (${source}): expected a path that begins with /, got one that does not.`
    throw new MqttasgiError(choice.valueCode('broker.wsPath'), message)
  }
  // A weaker level may keep its path for the day its transport counts again.
  const isAsked = choice.given('broker.wsPath') !== undefined
  if (
    isAsked &&
    transport !== 'websockets' &&
    choice.rank('broker.wsPath') <= choice.rank('broker.transport')
  ) {
    const mend = 'Only websockets have a path: give --transport websockets, or a URL with ws:// or wss://.'
    throw conflict(choice, 'broker.wsPath', 'broker.transport', mend)
  }
  return path
}

function sessionOf(
  choice: Choice,
): Pick<BrokerSettings, 'clientId' | 'clean' | 'sessionExpirySeconds' | 'onSessionLoss' | 'protocolVersion'> {
  const clean = choice.isOn('broker.clean')
  const clientId = choice.text('broker.clientId')
  if (!clean && clientId === undefined) {
    const message = `broker.clean is false (${choice.source('broker.clean')}), and there is no client id by which the broker could know the session again.`
    const mend = 'Give one as broker.clientId, --id or MQTT_CLIENT_ID, another one for each process.'
    throw new MqttasgiError('ERR_CONFIG_INCOMPLETE', `${message} ${mend}`)
  }
  const asked = choice.given('broker.sessionExpiry')
  const version = choice.given('broker.protocolVersion')?.value
  return {
    clean,
    clientId: clientId ?? `mqttasgi-${randomBytes(4).toString('hex')}`,
    sessionExpirySeconds: asked === undefined ? (clean ? 0 : keptSessionSeconds) : Number(asked.value),
    onSessionLoss: choice.text('broker.onSessionLoss') === 'stop' ? 'stop' : 'continue',
    protocolVersion: version === 5 || version === 4 ? version : 'auto',
  }
}

function credentialsOf(choice: Choice): Pick<BrokerSettings, 'username' | 'password' | 'passwordFile'> {
  const path = passwordPath(choice)
  const username = choice.given('broker.username')?.value
  // MQTT 3.1.1 forbids it [MQTT-3.1.2-22]; the original left such a password out without a word.
  if (path !== undefined && username === undefined && choice.given('broker.protocolVersion')?.value !== 5) {
    const message = `${path} (${choice.source(path)}) was given without a user name.`
    const mend =
      'Give one as broker.username, --username or MQTT_USERNAME; only MQTT 5 (protocolVersion 5) goes without.'
    throw new MqttasgiError('ERR_CONFIG_INCOMPLETE', `${message} ${mend}`)
  }
  const password = path === 'broker.password' ? choice.given(path)?.value : undefined
  return {
    username: username === undefined || typeof username === 'function' ? username : String(username),
    password:
      password === undefined || typeof password === 'function' ? password : new Secret(String(password)),
    passwordFile: path === 'broker.passwordFile' ? choice.text(path) : undefined,
  }
}

// The stronger level decides between the two.
function passwordPath(choice: Choice): 'broker.password' | 'broker.passwordFile' | undefined {
  const [text, file] = ['broker.password', 'broker.passwordFile'] as const
  const [textRank, fileRank] = [choice.rank(text), choice.rank(file)]
  if (textRank === fileRank) {
    if (textRank === Infinity) return undefined
    throw conflict(choice, text, file, 'Keep one of the two.')
  }
  return textRank < fileRank ? text : file
}

function conflict(choice: Choice, one: OptionPath, other: OptionPath, mend: string): MqttasgiError {
  const message = `${one} (${choice.source(one)}) does not go together with ${other} (${choice.source(other)}).`
  return new MqttasgiError('ERR_CONFIG_CONFLICT', `${message} ${mend}`)
}

function addressOf(
  place: Pick<BrokerSettings, 'transport' | 'tls' | 'host' | 'port' | 'socketPath' | 'wsPath'>,
): string {
  if (place.transport === 'unix') return `unix://${place.socketPath}`
  const host = place.host.includes(':') ? `[${place.host}]` : place.host
  const secure = place.tls === undefined ? '' : 's'
  if (place.transport === 'tcp') return `mqtt${secure}://${host}:${place.port}`
  // The query may be a signature.
  return `ws${secure}://${host}:${place.port}${place.wsPath.replace(/\?.*$/, '')}`
}
