// Starts the machine's own nats-server on a free loopback port: MQTT 3.1.1 on JetStream, which resends by itself.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Broker } from './broker.ts'
import { startBroker, type Place } from './broker-process.ts'
import { findExecutable } from './executable.ts'

/** How the broker is to be. Everything may be left out. */
export interface NatsOptions {
  /** Not acknowledged for so long, a message is sent again on the same connection. In Go's words; "30s" by default. */
  readonly ackWait?: string
  /** Unacknowledged messages per subscription; 100 by default. */
  readonly maxAckPending?: number
}

export function natsPath(): string | undefined {
  return findExecutable('nats-server')
}

/** Sessions and messages survive stop() and kill(): JetStream keeps them in the broker's folder. */
export async function startNats(options: NatsOptions = {}): Promise<Broker> {
  return await startBroker({
    name: 'nats',
    url: ({ port }) => `mqtt://127.0.0.1:${port}`,
    prepare: async (place) => {
      const file = join(place.folder, 'nats.conf')
      await writeFile(file, configuration(place, options))
      return { file: natsPath() ?? 'nats-server', args: ['-c', file] }
    },
    saysUp: 'Server is ready',
    answersLate: true,
  })
}

function configuration(
  { folder, port }: Place,
  { ackWait = '30s', maxAckPending = 100 }: NatsOptions,
): string {
  return [
    'server_name: lab',
    'host: 127.0.0.1',
    // A client port of any number: nobody speaks NATS here.
    'port: -1',
    `jetstream { store_dir: "${join(folder, 'jetstream')}" }`,
    `mqtt { host: 127.0.0.1, port: ${port}, ack_wait: "${ackWait}", max_ack_pending: ${maxAckPending} }`,
    '',
  ].join('\n')
}
