// Feeds a PacketReader and writes down what it said, in a form that does not depend on how the bytes were cut.
import { PacketReader } from '../../lib/transport/packet-reader.ts'
import type { Arrival, SkippedPacket } from '../../lib/transport/transport.ts'

/** A message with everything that is made when it is read. */
export function plain(arrival: Arrival): Record<string, unknown> {
  const { topic, payload, qos, retain, dup, packetId, bytes, invalid, subscriptionIdentifiers } = arrival
  const { properties } = arrival
  return {
    topic,
    payload: payload.toString('hex'),
    qos,
    retain,
    dup,
    packetId,
    bytes,
    invalid,
    subscriptionIdentifiers,
    properties,
  }
}

export type Recorded =
  | { readonly type: 'publish'; readonly arrival: Record<string, unknown> }
  | { readonly type: 'pass'; readonly bytes: string }
  | { readonly type: 'release'; readonly packetId: number }
  | { readonly type: 'skipped'; readonly packet: SkippedPacket }
  | { readonly type: 'violation'; readonly message: string }

interface Recording {
  /** In order; bytes that pass one after the other are one event. */
  readonly events: Recorded[]
  readonly arrivals: Arrival[]
  readonly passes: Buffer[]
}

export interface RecordOptions {
  readonly version?: 4 | 5
  readonly maxPacketBytes?: number
}

/** What a new reader makes of these chunks. */
export function record(chunks: readonly Buffer[], options: RecordOptions = {}): Recording {
  const recording: Recording = { events: [], arrivals: [], passes: [] }
  const { events, arrivals, passes } = recording
  const sink = {
    publish(arrival: Arrival) {
      arrivals.push(arrival)
      events.push({ type: 'publish', arrival: plain(arrival) })
    },
    pass(bytes: Buffer) {
      passes.push(bytes)
      const before = events.at(-1)
      const earlier = before?.type === 'pass' ? before.bytes : ''
      if (before?.type === 'pass') events.pop()
      events.push({ type: 'pass', bytes: earlier + bytes.toString('hex') })
    },
    release: (packetId: number) => void events.push({ type: 'release', packetId }),
    skipped: (packet: SkippedPacket) => void events.push({ type: 'skipped', packet }),
    violation: (message: string) => void events.push({ type: 'violation', message }),
  }
  const reader = new PacketReader(sink, { maxPacketBytes: options.maxPacketBytes ?? 1_000_000 })
  reader.protocolVersion = options.version ?? 5
  for (const chunk of chunks) reader.feed(chunk)
  return recording
}

/** The same bytes in chunks of `size`, each with memory of its own, as a socket gives them. */
export function cut(bytes: Buffer, size: number): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) chunks.push(Buffer.from(bytes.subarray(at, at + size)))
  return chunks
}
