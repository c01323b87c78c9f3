// A served application whose broker is the test: what is sent goes the whole way, from the socket to the handler.
import type { ExecutionContext } from 'ava'
import { serve, type Application, type ServeOptions, type Server } from '../../lib/index.ts'
import { lineLog } from '../../lib/observe/line-log.ts'
import { startScriptedBroker, type Script, type ScriptedLink } from './scripted-broker.ts'

export interface HostileSide {
  readonly server: Server
  /** The broker's end of the connection. */
  readonly link: ScriptedLink
  /** What the server has logged, as the command line would print it at its most talkative. */
  readonly lines: readonly string[]
  /** The broker's end of the next connection, when this one has been ended. */
  readonly nextLink: () => Promise<ScriptedLink>
  /** PUBACKs so far. */
  readonly acked: () => number
  /** Resolves when so many PUBACKs have come. */
  readonly untilAcked: (count: number) => Promise<void>
}

/** How the application is served, and what its broker does otherwise than a friendly one. */
export interface HostileOptions extends ServeOptions {
  readonly script?: Script
}

/** Connected and subscribed; stopped with the test. */
export async function serveToHostileSide(
  t: ExecutionContext,
  app: Application,
  options: HostileOptions = {},
): Promise<HostileSide> {
  const { broker: connection, script, ...rest } = options
  let acks = 0
  const waiting: { readonly count: number; readonly resolve: () => void }[] = []
  const puback = (): void => {
    acks++
    for (const one of waiting) if (acks >= one.count) one.resolve()
  }
  const broker = await startScriptedBroker(t, { puback, ...script })
  const lines: string[] = []
  const log = lineLog({ verbosity: 2, write: (line) => void lines.push(line) })
  const server = await serve(app, {
    broker: { host: '127.0.0.1', port: broker.port, protocolVersion: 5, ...connection },
    drainTimeout: 0,
    deadLetter: { store: 'none' },
    log,
    ...rest,
  })
  t.teardown(() => server.stop())
  const link = await broker.link()
  const untilAcked = (count: number): Promise<void> =>
    acks >= count ? Promise.resolve() : new Promise((resolve) => waiting.push({ count, resolve }))
  return { server, link, lines, nextLink: broker.link, acked: () => acks, untilAcked }
}

/** A PUBLISH of QoS 1 with these bytes as its topic, whatever they are, for MQTT 5. */
export function publishFrame(
  topic: Uint8Array,
  packetId: number,
  payload: Uint8Array = Buffer.alloc(0),
): Buffer {
  const length = 2 + topic.length + 2 + 1 + payload.length
  const sizes: number[] = []
  for (let left = length; ; left >>>= 7) {
    sizes.push((left & 127) | (left > 127 ? 128 : 0))
    if (left <= 127) break
  }
  const head = Buffer.from([0x32, ...sizes, topic.length >> 8, topic.length & 255])
  const tail = Buffer.from([packetId >> 8, packetId & 255, 0])
  return Buffer.concat([head, topic, tail, payload])
}

/** How many random messages a test sends: its own number, or that of MQTTASGI_FUZZ for a long run by hand. */
export function fuzzCount(usual: number): number {
  return Number(process.env['MQTTASGI_FUZZ'] ?? usual)
}
