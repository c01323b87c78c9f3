// A broker that refuses protocol versions: stands before a real one and answers the CONNECT of those it does not speak.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { ExecutionContext } from 'ava'

export interface OldBroker {
  readonly url: string
  /** The protocol level of each CONNECT, in order. */
  readonly levels: number[]
  /** The levels it refuses from now on. */
  refused: readonly number[]
  /** Ends all connections that are up. */
  cut(): void
}

/** CONNACK of 3.1.1 (3.2.2.3): unacceptable protocol version. */
const OLD_REFUSAL = Buffer.from([0x20, 0x02, 0x00, 0x01])
/** CONNACK of MQTT 5 (3.2.2.2): unsupported protocol version, no properties. */
export const NEW_REFUSAL = Buffer.from([0x20, 0x03, 0x00, 0x84, 0x00])

export async function startOldBroker(
  t: ExecutionContext,
  target: number,
  refusal: Buffer = OLD_REFUSAL,
): Promise<OldBroker> {
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (client) => {
    sockets.add(client)
    client.on('error', () => {})
    client.once('close', () => sockets.delete(client))
    client.once('data', (bytes: Buffer) => {
      const level = protocolLevel(bytes)
      broker.levels.push(level)
      if (broker.refused.includes(level)) return client.end(refusal)
      const real = connect({ port: target, host: '127.0.0.1', noDelay: true })
      real.on('error', () => client.destroy())
      real.once('close', () => client.destroy())
      client.once('close', () => real.destroy())
      real.write(bytes)
      client.pipe(real).pipe(client)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const broker: OldBroker = {
    url: `mqtt://127.0.0.1:${port}`,
    levels: [],
    refused: [5],
    cut: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
  t.teardown(() => {
    broker.cut()
    server.close()
  })
  return broker
}

/** Behind the fixed header, whose length takes one to four bytes, and the name `MQTT` (3.1.2.2). */
export function protocolLevel(connectPacket: Buffer): number {
  let at = 1
  while (((connectPacket[at] ?? 0) & 0x80) !== 0) at++
  return connectPacket[at + 7] ?? 0
}
