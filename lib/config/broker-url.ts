// A broker's URL: split into the options it stands for, and shown without what is secret in it.
import { MqttasgiError } from '../core/errors.ts'
import { redacted } from './secret.ts'

/** What a URL says; what it does not say is left out. */
export interface BrokerUrl {
  readonly scheme: string
  readonly transport: 'tcp' | 'websockets' | 'unix'
  readonly tls: boolean
  readonly host?: string
  readonly port?: number
  readonly wsPath?: string
  readonly socketPath?: string
  readonly username?: string
  readonly password?: string
}

const schemes: Readonly<Record<string, Pick<BrokerUrl, 'transport' | 'tls'>>> = {
  mqtt: { transport: 'tcp', tls: false },
  tcp: { transport: 'tcp', tls: false },
  mqtts: { transport: 'tcp', tls: true },
  ssl: { transport: 'tcp', tls: true },
  tls: { transport: 'tcp', tls: true },
  ws: { transport: 'websockets', tls: false },
  wss: { transport: 'websockets', tls: true },
  unix: { transport: 'unix', tls: false },
}

/** The port that a scheme stands for. */
export function defaultPort(transport: BrokerUrl['transport'], tls: boolean): number {
  if (transport === 'websockets') return tls ? 443 : 80
  return tls ? 8883 : 1883
}

/**
 * Splits `text`; `where` begins the message of the error. Codes: `ERR_CONFIG_VALUE`, or `code`.
 *
 * @example
 * splitBrokerUrl('mqtts://example.org', 'broker.url') // { scheme: 'mqtts', transport: 'tcp', tls: true, host: 'example.org' }
 */
export function splitBrokerUrl(
  text: string,
  where: string,
  code: 'ERR_CONFIG_VALUE' | 'ERR_USAGE' = 'ERR_CONFIG_VALUE',
): BrokerUrl {
  const refuse = (mend: string): never => {
    throw new MqttasgiError(
      code,
      `${where}: expected a URL such as mqtt://localhost:1883, got "${redactUrl(text)}". ${mend}`,
    )
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase()
  if (scheme === undefined) return refuse(`Begin it with ${schemeNames()}.`)
  const meaning = Object.hasOwn(schemes, scheme) ? schemes[scheme] : undefined
  if (meaning === undefined) return refuse(`${scheme}:// is no scheme of MQTT: use ${schemeNames()}.`)
  const url = parse(text)
  // An @ behind the host is a password with a / or ? in it: what was read as the host is the user name.
  if (url === undefined || text.includes('#') || (url.pathname + url.search).includes('@')) {
    return refuse(
      'A port is 1 to 65535; : / ? # @ in user name and password are written with %, as %40 for @.',
    )
  }
  const credentials = credentialsOf(url) ?? refuse('A % in user name and password is written %25.')
  if (meaning.transport === 'unix') return { scheme, ...meaning, socketPath: socketPathOf(url, refuse) }
  if (!/^[^\s%]+$/.test(url.hostname))
    return refuse('The host is missing, or has characters a host can not have.')
  if (url.port === '0') return refuse('Port 0 can not be connected to.')
  return { scheme, ...meaning, ...credentials, ...placeOf(url, meaning.transport, refuse) }
}

function placeOf(
  url: URL,
  transport: BrokerUrl['transport'],
  refuse: (mend: string) => never,
): Pick<BrokerUrl, 'host' | 'port' | 'wsPath'> {
  const path = url.pathname + url.search
  const bare = path === '' || path === '/'
  if (transport === 'tcp' && !bare)
    refuse('A path has no meaning after the host; only ws:// and wss:// have one.')
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    ...(url.port === '' ? {} : { port: Number(url.port) }),
    ...(bare ? {} : { wsPath: path }),
  }
}

function socketPathOf(url: URL, refuse: (mend: string) => never): string {
  const path = decoded(url.pathname)
  if (path === undefined || path.length < 2 || url.host !== '' || url.search !== '') {
    return refuse('Write unix:///path/to/socket.')
  }
  return path
}

function credentialsOf(url: URL): Pick<BrokerUrl, 'username' | 'password'> | undefined {
  const username = decoded(url.username)
  const password = decoded(url.password)
  if (username === undefined || password === undefined) return undefined
  return { ...(username === '' ? {} : { username }), ...(password === '' ? {} : { password }) }
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

// The special schemes of the URL standard swallow their default port, and an explicit one is wanted
// here: mqtt:// is none of them, so ws:// and wss:// are read under that name.
function parse(text: string): URL | undefined {
  const neutral = text.replace(/^[^:]+:/, 'mqtt:')
  return URL.canParse(neutral) ? new URL(neutral) : undefined
}

function schemeNames(): string {
  return 'mqtt://, mqtts://, ws://, wss:// or unix://'
}

/**
 * A URL, or what somebody took for one, without user name, password and query. It must be right for texts
 * that can not be parsed, so it takes away everything up to the last @ and from the first ? on.
 */
export function redactUrl(text: string): string {
  const [, scheme = '', rest = ''] = /^([a-z][a-z0-9+.-]*:\/\/)?([^]*)$/i.exec(text) ?? []
  const at = rest.lastIndexOf('@')
  const query = rest.indexOf('?')
  if (query !== -1 && query < at) return scheme + redacted
  const start = at === -1 ? '' : `${redacted}@`
  return query === -1
    ? scheme + start + rest.slice(at + 1)
    : `${scheme}${start}${rest.slice(at + 1, query)}?${redacted}`
}
