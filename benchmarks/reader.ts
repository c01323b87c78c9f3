// What does it cost to read a PUBLISH off the wire, beside mqtt-packet's parser on the same bytes? CPU time, one run.
import { generate, parser } from 'mqtt-packet'
import { PacketReader, type PacketSink } from '../lib/transport/packet-reader.ts'
import type { Arrival } from '../lib/transport/transport.ts'

interface Load {
  readonly name: string
  readonly version: 4 | 5
  readonly qos: 0 | 1
  readonly bytes: number
  readonly properties?: { subscriptionIdentifier?: number; userProperties?: Record<string, string> }
  /** What the receiver looks at. */
  readonly read?: 'payload' | 'properties'
}

const loads: readonly Load[] = [
  { name: 'v4 QoS 0, 20 B', version: 4, qos: 0, bytes: 20 },
  { name: 'v5 QoS 0, 20 B', version: 5, qos: 0, bytes: 20 },
  { name: 'v4 QoS 1, 20 B', version: 4, qos: 1, bytes: 20 },
  { name: 'v5 QoS 1, 20 B', version: 5, qos: 1, bytes: 20 },
  { name: 'v5 QoS 1, 1 KiB', version: 5, qos: 1, bytes: 1024 },
  { name: '  payload read', version: 5, qos: 1, bytes: 20, read: 'payload' },
  { name: '  identifier', version: 5, qos: 1, bytes: 20, properties: { subscriptionIdentifier: 7 } },
  {
    name: '  user property, read',
    version: 5,
    qos: 1,
    bytes: 20,
    properties: { userProperties: { trace: '4bf92f3577b34da6' } },
    read: 'properties',
  },
]

const CHUNK = 65_536
const ROUNDS = 7

/** About 2 MiB of packets on 200 topics of 24 bytes, cut where the socket would cut them. */
function encode(load: Load): { chunks: Buffer[]; messages: number } {
  const packets: Buffer[] = []
  for (let size = 0; size < 2 ** 21; size += packets.at(-1)!.length) {
    const topic = `sensors/room${String(packets.length % 200).padStart(3, '0')}/humidity`
    const payload = Buffer.alloc(load.bytes, 'x')
    const { qos, version: protocolVersion, properties } = load
    const packet = { cmd: 'publish', topic, payload, qos, dup: false, retain: false, messageId: 1 } as const
    packets.push(generate(properties === undefined ? packet : { ...packet, properties }, { protocolVersion }))
  }
  const bytes = Buffer.concat(packets)
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length; at += CHUNK) chunks.push(Buffer.from(bytes.subarray(at, at + CHUNK)))
  return { chunks, messages: packets.length }
}

/** Nanoseconds of CPU per message. */
function measure(messages: number, work: () => number): number {
  const before = process.cpuUsage()
  const seen = work()
  const { user, system } = process.cpuUsage(before)
  if (seen !== messages) throw new Error(`${messages} messages went in, ${seen} came out`)
  return ((user + system) * 1000) / messages
}

function ours(load: Load, chunks: readonly Buffer[]): number {
  let seen = 0
  // As the window would: some are kept for a while.
  const kept: Arrival[] = []
  const sink: PacketSink = {
    publish(arrival) {
      kept[seen++ & 31] = arrival
      if (load.read !== undefined && arrival[load.read] === undefined) throw new Error('nothing to read')
    },
    pass: () => {},
    release: () => {},
    skipped: () => {},
    violation: (message) => {
      throw new Error(message)
    },
  }
  const reader = new PacketReader(sink, { maxPacketBytes: 2 ** 20 })
  reader.protocolVersion = load.version
  for (const chunk of chunks) reader.feed(chunk)
  return seen
}

function theirs(load: Load, chunks: readonly Buffer[]): number {
  let seen = 0
  const kept: unknown[] = []
  const reader = parser({ protocolVersion: load.version })
  reader.on('packet', (packet) => (kept[seen++ & 31] = packet))
  for (const chunk of chunks) reader.parse(chunk)
  return seen
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}

console.log('CPU ns per message        this reader   mqtt-packet    ratio')
for (const load of loads) {
  const { chunks, messages } = encode(load)
  const us: number[] = []
  const them: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    us.push(measure(messages, () => ours(load, chunks)))
    them.push(measure(messages, () => theirs(load, chunks)))
  }
  const [a, b] = [median(us), median(them)]
  console.log(
    `${load.name.padEnd(24)} ${a.toFixed(0).padStart(12)} ${b.toFixed(0).padStart(13)} ${(b / a).toFixed(1).padStart(8)}`,
  )
}
