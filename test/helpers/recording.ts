// Proxies that look at what a test's servers say to a broker, and fail the test at its end if that broke a rule.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { isIP } from 'node:net'
import { join } from 'node:path'
import type { ConnectionOptions } from 'node:tls'
import type { ExecutionContext } from 'ava'
import type { SettledEvent } from '../../lib/core/trace.ts'
import { resolveOptions } from '../../lib/config/load.ts'
import type { BrokerSettings, TlsSettings } from '../../lib/config/settings.ts'
import type { ServeOptions } from '../../lib/index.ts'
import { certificates } from './certificates.ts'
import type { FaultProxy, FaultProxyOptions } from './fault-proxy.ts'
import { temporaryFolder } from './temporary-folder.ts'
import { checkWire, type Violation, type WireRules } from './wire-check.ts'
import { keyOf, startWireProxy, type WireProxy } from './wire-log.ts'
import { sentences, startWatchedProxy, type WatchedProxy } from './wire-watch.ts'

/** Where a server connects to, as tests and users write it. */
type Connection = NonNullable<ServeOptions['broker']>

/** A test, as far as it is needed: it has an end. */
type Ending = Pick<ExecutionContext, 'teardown'>

/** The ports and paths of the proxies that are up, so that nobody is looked at twice. */
const places = new Set<string>()

/** Stands before the broker on this port for as long as the test runs, and writes down what passes. */
export async function recording(
  t: Ending,
  target: number,
  rules: WireRules = { concluded: true },
): Promise<WireProxy> {
  const proxy = await startWireProxy(target)
  judged(t, proxy, {
    place: String(proxy.port),
    concluded: (key) => proxy.log.concluded(key),
    violations: () => checkWire(proxy.log, rules),
  })
  return proxy
}

/** By the test and the place of the broker: what is kept for an address must find the same address again. */
const watches = new WeakMap<Ending, Map<string, Promise<WatchedProxy>>>()

/**
 * The same broker behind a proxy that watches, over whatever the server speaks to it; as it is where there is a proxy
 * already, or where no address is given.
 */
export async function recorded(
  t: Ending,
  broker: Connection,
  rules: WireRules = { concluded: true },
): Promise<Connection> {
  const address = addressOf(broker)
  if (address === undefined || places.has(address.socketPath ?? String(address.port))) return broker
  const known = watches.get(t) ?? new Map<string, Promise<WatchedProxy>>()
  watches.set(t, known)
  const name = JSON.stringify(address)
  const starting = known.get(name) ?? watching(t, address, rules)
  known.set(name, starting)
  return moved(broker, address, await starting)
}

/** The same for the URL of a broker; `rules` are without `concluded` where the server is in another process. */
export async function recordedUrl(t: Ending, url: string, rules?: WireRules): Promise<string> {
  return (await recorded(t, { url }, rules)).url ?? url
}

/** What is looked at of the settings that a server would make of the same. */
type Address = Pick<BrokerSettings, 'transport' | 'host' | 'port' | 'socketPath' | 'tls'>

function addressOf(broker: Connection): Address | undefined {
  const { host, port, socketPath, tls, transport } = resolveOptions({ broker }).broker
  const isGiven = broker.port !== undefined || broker.socketPath !== undefined || broker.url !== undefined
  return isGiven ? { transport, host, port, socketPath, tls } : undefined
}

function moved(broker: Connection, { socketPath }: Address, { port, url }: WatchedProxy): Connection {
  if (socketPath !== undefined)
    return { ...broker, ...(broker.url === undefined ? { socketPath: pathOf(url) } : { url }) }
  if (broker.url === undefined) return { ...broker, port }
  return { ...broker, url: broker.url.replace(/^(\w+:\/\/[^/?]*?)(?::\d+)?(?=[/?]|$)/, `$1:${port}`) }
}

function pathOf(url: string): string {
  return new URL(url).pathname
}

async function watching(t: Ending, address: Address, rules: WireRules): Promise<WatchedProxy> {
  const { port, socketPath, transport } = address
  const proxy = await startWatchedProxy(socketPath ?? port, rules, {
    ...(transport === 'websockets' ? { wrapping: 'websocket' } : {}),
    ...(socketPath === undefined ? {} : { path: join(temporaryFolder(t), 'socket') }),
    ...(address.tls === undefined ? {} : { tls: await tlsEnds(address.host, address.tls) }),
  })
  judged(t, proxy, {
    place: socketPath === undefined ? String(proxy.port) : pathOf(proxy.url),
    concluded: (key) => proxy.watch.concluded(key),
    violations: () => proxy.watch.violations,
  })
  return proxy
}

/**
 * Shows the tests' own certificate, and is to the broker what the server would be. A server that is to have a
 * certificate must show it to the proxy too.
 */
async function tlsEnds(host: string, tls: TlsSettings): Promise<NonNullable<FaultProxyOptions['tls']>> {
  const { ca: authority, server } = await certificates()
  const { ca, cert, key, servername } = tls
  const name = servername ?? (isIP(host) === 0 ? host : undefined)
  const client: ConnectionOptions = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key: key.reveal() }),
    ...(name === undefined ? {} : { servername: name }),
  }
  const own = { cert: server.cert, key: server.key, ca: authority.cert }
  const hasCertificate = cert !== undefined
  return { server: { ...own, requestCert: hasCertificate, rejectUnauthorized: hasCertificate }, client }
}

interface Judged {
  /** What servers call it by: its port or its path. */
  readonly place: string
  readonly concluded: (key: string) => void
  readonly violations: () => readonly Violation[]
}

/** Closes the proxy with the test, which fails for what it has seen. */
function judged(t: Ending, proxy: FaultProxy, { concluded, place, violations }: Judged): void {
  places.add(place)
  const settled = (event: unknown): void => {
    const { message } = event as SettledEvent
    concluded(keyOf(message.topic, message.payload))
  }
  subscribe('mqttasgi:settled', settled)
  t.teardown(async () => {
    await proxy.close()
    places.delete(place)
    unsubscribe('mqttasgi:settled', settled)
    if (proxy.connections === 0)
      throw new Error('On the wire: nothing, for nobody has connected to the proxy')
    const lines = sentences(violations())
    if (lines.length > 0) throw new Error(`On the wire: ${lines.join('; ')}`)
  })
}
