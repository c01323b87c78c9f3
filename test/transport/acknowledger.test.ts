// Answers on the connection that is up, and on no other.
import test from 'ava'
import { generate } from 'mqtt-packet'
import { Acknowledger } from '../../lib/transport/acknowledger.ts'
import { PublishPacket, PublishScanner } from '../../lib/transport/publish-packet.ts'
import { SlowStore } from '../helpers/slow-store.ts'

class Wire {
  spent = false
  readonly written: string[] = []
  write(bytes: Buffer): void {
    this.written.push(bytes.toString('hex'))
  }
}

function publish(qos: 0 | 1 | 2, messageId: number): PublishPacket {
  const packet = {
    cmd: 'publish',
    topic: 'a',
    payload: 'x',
    qos,
    messageId,
    dup: false,
    retain: false,
  } as const
  const frame = generate(packet, { protocolVersion: 5 })
  const scanner = new PublishScanner()
  scanner.scan(frame, 0, frame.length)
  return new PublishPacket(scanner, frame)
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('without a connection, or with one that takes no more bytes, nothing is acknowledged', (t) => {
  const acknowledger = new Acknowledger(undefined)
  t.false(acknowledger.acknowledge([1]))
  const wire = new Wire()
  void acknowledger.connected(wire, 5, false)
  t.true(acknowledger.acknowledge([1]))
  t.true(acknowledger.acknowledge([]))
  wire.spent = true
  t.false(acknowledger.acknowledge([2]))
  wire.spent = false
  acknowledger.disconnected()
  t.false(acknowledger.acknowledge([3]))
  t.deepEqual(wire.written, ['40020001'])
})

test('QoS 1 and 2 leave in one write, in order; reason codes only on MQTT 5', (t) => {
  const codes = new Map([[2, 0x99]])
  for (const [version, wanted] of [
    [4, '400200015002000240020003'],
    [5, '40020001500300029940020003'],
  ] as const) {
    const acknowledger = new Acknowledger(undefined)
    const wire = new Wire()
    void acknowledger.connected(wire, version, false)
    for (const packet of [publish(1, 1), publish(2, 2), publish(1, 3), publish(0, 0)])
      acknowledger.arrived(packet)
    t.true(acknowledger.acknowledge([1, 2, 3], codes))
    t.deepEqual(wire.written, [wanted])
  }
})

test('a packet id that comes with QoS 1 is one of QoS 1 from then on', (t) => {
  const acknowledger = new Acknowledger(undefined)
  const wire = new Wire()
  void acknowledger.connected(wire, 5, false)
  acknowledger.arrived(publish(2, 1))
  acknowledger.acknowledge([1])
  acknowledger.arrived(publish(1, 1))
  acknowledger.acknowledge([1])
  t.deepEqual(wire.written, ['50020001', '40020001'])
})

test('what is kept when its connection takes no more bytes is not written', async (t) => {
  const store = new SlowStore()
  const acknowledger = new Acknowledger(store)
  const wire = new Wire()
  void acknowledger.connected(wire, 5, false)
  acknowledger.arrived(publish(2, 1))
  acknowledger.acknowledge([1])
  wire.spent = true
  await store.commit()
  t.deepEqual(wire.written, [])
})

test('many answers that become due in one turn leave in one write', async (t) => {
  const acknowledger = new Acknowledger(undefined)
  const wire = new Wire()
  void acknowledger.connected(wire, 4, true)
  for (const id of [1, 2, 3]) acknowledger.released(id)
  await turn()
  t.deepEqual(wire.written, ['700200017002000270020003'])
})

test('what is too large and of QoS 2 is acknowledged as such', (t) => {
  const acknowledger = new Acknowledger(undefined)
  const wire = new Wire()
  void acknowledger.connected(wire, 4, true)
  acknowledger.skipped({ packetId: 1, bytes: 9_000, topic: 'large', dup: false }, 2)
  acknowledger.skipped({ packetId: 2, bytes: 9_000, topic: 'large', dup: false }, 1)
  acknowledger.acknowledge([1, 2])
  t.deepEqual(wire.written, ['5002000140020002'])
})
