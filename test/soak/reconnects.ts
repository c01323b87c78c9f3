// One server that loses its connection again and again: what has grown after that, in descriptors, handles and memory.
import { readdirSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { mqttasgi } from '../../lib/core/application.ts'
import { Server } from '../../lib/server/server.ts'
import { MqttTransport } from '../../lib/transport/mqtt-transport.ts'
import type { FaultProxy } from '../helpers/fault-proxy.ts'
import { plainParts } from '../helpers/memory-server.ts'

/** What a process holds. */
export interface Holdings {
  /** Open files and sockets; 0 where the system does not say. */
  readonly descriptors: number
  /** Sockets, timers and the like that Node knows. */
  readonly handles: number
  /** In bytes, behind a collection of garbage. */
  readonly heap: number
}

/** How it went. */
export interface Growth {
  /** After the first tenth of the reconnects, and after the last. */
  readonly before: Holdings
  readonly after: Holdings
  readonly connects: number
  readonly warnings: readonly string[]
}

/** Reconnects so many times: cut by the other side, reset, and cut by us, in turns. Each time a message goes and comes. */
export async function reconnect(proxy: FaultProxy, times: number): Promise<Growth> {
  const warnings: string[] = []
  const warned = ({ message }: Error): void => void warnings.push(message)
  process.on('warning', warned)
  let handled: () => void = () => {}
  const app = mqttasgi().topic('echo/+n', () => handled())
  const address = { type: 'tcp', host: '127.0.0.1', port: proxy.port } as const
  const transport = new MqttTransport({
    address,
    clientId: `soak-${process.pid}`,
    clean: false,
    keepaliveSeconds: 60,
    sessionExpirySeconds: 60,
    receiveMaximum: 32,
    maxPacketBytes: 100_000,
  })
  const server = new Server({
    transport,
    ...plainParts(app),
    sessionLasts: true,
    drainTimeoutMs: 1_000,
  })
  await server.start()
  let before = holdings()
  for (let n = 1; n <= times; n++) {
    breakOff(n, proxy, transport)
    const echo = new Promise<void>((resolve) => (handled = resolve))
    await server.publish(`echo/${n}`, 'x')
    await echo
    if (n === Math.ceil(times / 10)) before = holdings()
  }
  const after = holdings()
  const { connects } = server.counters
  await server.stop()
  process.off('warning', warned)
  return { before, after, connects, warnings }
}

function breakOff(n: number, proxy: FaultProxy, transport: MqttTransport): void {
  if (n % 3 === 0) proxy.cut()
  else if (n % 3 === 1) proxy.reset()
  else transport.cut({ type: 'network', message: 'Cut by the soak.' })
}

function holdings(): Holdings {
  collectGarbage()
  return {
    descriptors: descriptors(),
    handles: process.getActiveResourcesInfo().length,
    heap: process.memoryUsage().heapUsed,
  }
}

function descriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return 0
  }
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
}
