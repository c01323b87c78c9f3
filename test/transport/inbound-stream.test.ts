import { once } from 'node:events'
import { Duplex } from 'node:stream'
import test from 'ava'
import fc from 'fast-check'
import { generate, parser, writeToStream, type Packet } from 'mqtt-packet'
import { encodePubacks } from '../../lib/transport/answer.ts'
import { InboundStream } from '../../lib/transport/inbound-stream.ts'
import type { Arrival, SkippedPacket } from '../../lib/transport/transport.ts'
import { message } from '../helpers/scripted-broker.ts'

/** A socket whose other side is the test. */
class FakeSocket extends Duplex {
  readonly writes: Buffer[] = []
  finished = false
  /** While true, what is written waits for `flush()`. */
  stuck = false
  #waiting: (() => void)[] = []

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.writes.push(chunk)
    if (this.stuck) this.#waiting.push(done)
    else done()
  }

  override _final(done: () => void): void {
    this.finished = true
    done()
  }

  flush(): void {
    for (const done of this.#waiting.splice(0)) done()
  }

  get written(): Buffer {
    return Buffer.concat(this.writes)
  }
}

interface Setup {
  readonly socket: FakeSocket
  readonly stream: InboundStream
  readonly arrivals: Arrival[]
  readonly skips: SkippedPacket[]
  readonly releases: number[]
  readonly violations: string[]
}

function setup(options: { maxPacketBytes?: number; socket?: FakeSocket } = {}): Setup {
  const socket = options.socket ?? new FakeSocket({ allowHalfOpen: true })
  const arrivals: Arrival[] = []
  const skips: SkippedPacket[] = []
  const releases: number[] = []
  const violations: string[] = []
  const stream = new InboundStream(
    socket,
    {
      publish: (arrival) => arrivals.push(arrival),
      release: (packetId) => releases.push(packetId),
      skipped: (packet) => skips.push(packet),
      violation: (fault) => violations.push(fault),
    },
    { protocolVersion: 5, maxPacketBytes: options.maxPacketBytes ?? 1_000_000 },
  )
  return { socket, stream, arrivals, skips, releases, violations }
}

function encode(packet: Packet): Buffer {
  return generate(packet, { protocolVersion: 5 })
}

function decode(bytes: Buffer): Packet[] {
  const packets: Packet[] = []
  const reader = parser({ protocolVersion: 5 })
  reader.on('packet', (packet) => packets.push(packet))
  reader.on('error', (error) => {
    throw error
  })
  reader.parse(bytes)
  return packets
}

const connack = encode({ cmd: 'connack', sessionPresent: false, reasonCode: 0 })
const pingresp = encode({ cmd: 'pingresp' })
const pubrel = encode({ cmd: 'pubrel', messageId: 6 })
const suback = encode({ cmd: 'suback', messageId: 7, granted: [1] })

/** A turn of the event loop: everything that was in the queues has happened. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function qos(level: 0 | 1 | 2, messageId: number): Buffer {
  return encode(message('a/b', `payload ${messageId}`, level === 0 ? {} : { qos: level, messageId }))
}

/** A packet of this size that is none of ours. */
function bulk(bytes: number, messageId: number): Buffer {
  const properties = { reasonString: 'x'.repeat(bytes) }
  return encode({ cmd: 'puback', messageId, reasonCode: 0, properties })
}

test('PUBLISH and PUBREL are kept, every other byte passes in its order', async (t) => {
  const { arrivals, releases, socket, stream } = setup()
  const passed: Buffer[] = []
  stream.on('data', (bytes: Buffer) => passed.push(bytes))
  socket.push(Buffer.concat([connack, qos(0, 0), suback, qos(1, 5), qos(2, 6), pubrel, pingresp]))
  await turn()
  t.deepEqual(
    arrivals.map(({ packetId, payload }) => [packetId, payload.toString()]),
    [
      [0, 'payload 0'],
      [5, 'payload 5'],
      [6, 'payload 6'],
    ],
  )
  t.deepEqual(Buffer.concat(passed), Buffer.concat([connack, suback, pingresp]))
  t.deepEqual(releases, [6])
  stream.destroy()
})

test('it makes no difference in which pieces the bytes come', async (t) => {
  const all = Buffer.concat([connack, qos(1, 1), suback, qos(2, 2), qos(0, 0), pubrel, pingresp, qos(1, 3)])
  await fc.assert(
    fc.asyncProperty(fc.infiniteStream(fc.integer({ min: 1, max: 20 })), async (sizes) => {
      const { arrivals, releases, socket, stream } = setup()
      const passed: Buffer[] = []
      stream.on('data', (bytes: Buffer) => passed.push(bytes))
      for (let at = 0; at < all.length;) {
        const size = sizes.next().value ?? 1
        socket.push(all.subarray(at, at + size))
        at += size
        await turn()
      }
      stream.destroy()
      return (
        arrivals.map(({ packetId }) => packetId).join() === '1,2,0,3' &&
        releases.join() === '6' &&
        Buffer.concat(passed).equals(Buffer.concat([connack, suback, pingresp]))
      )
    }),
    { numRuns: 30 },
  )
  t.pass()
})

test('a PUBLISH above the limit is told, not kept', async (t) => {
  const { arrivals, skips, socket, stream } = setup({ maxPacketBytes: 100 })
  socket.push(connack)
  socket.push(encode(message('big', 'x'.repeat(200), { qos: 1, messageId: 9 })))
  socket.push(qos(1, 10))
  await turn()
  t.like(skips[0], { packetId: 9, topic: 'big' })
  t.deepEqual(
    arrivals.map(({ packetId }) => packetId),
    [10],
  )
  stream.destroy()
})

test('a first byte that is not of CONNACK is a violation, and nothing is read from there on', async (t) => {
  const { arrivals, socket, stream, violations } = setup()
  stream.on('data', () => t.fail('passed on'))
  socket.push(Buffer.concat([qos(1, 1), connack]))
  await turn()
  t.deepEqual(violations, ["its first byte is 0x32, not CONNACK's"])
  t.deepEqual(arrivals, [])
  stream.destroy()
})

test('bytes that are not MQTT are a violation', async (t) => {
  const { socket, stream, violations } = setup()
  socket.push(Buffer.concat([connack, Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01])]))
  await turn()
  t.is(violations.length, 1)
  stream.destroy()
})

test('a packet that is written in pieces leaves in one, and PUBACKs in one', async (t) => {
  const { socket, stream } = setup()
  writeToStream(message('a', 'x', { qos: 1, messageId: 1 }), stream, { protocolVersion: 5 })
  await turn()
  stream.write(encodePubacks([3, 2, 65_535]))
  await turn()
  t.is(socket.writes.length, 2)
  t.deepEqual(socket.writes[1], Buffer.from([0x40, 2, 0, 3, 0x40, 2, 0, 2, 0x40, 2, 0xff, 0xff]))
  stream.destroy()
})

test('no PUBACK ever stands inside a packet of MQTT.js, however slow the socket is', async (t) => {
  const step = fc.oneof(
    fc.constant('ack' as const),
    fc.constant('publish' as const),
    fc.constant('turn' as const),
    fc.constant('stick' as const),
    fc.constant('flush' as const),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { socket, stream } = setup()
      const expected: string[] = []
      let id = 0
      for (const next of steps) {
        if (next === 'turn') await turn()
        if (next === 'stick') socket.stuck = true
        if (next === 'flush') socket.flush()
        if (next === 'ack' || next === 'publish') expected.push(`${next} ${++id}`)
        if (next === 'ack') stream.write(encodePubacks([id]))
        if (next === 'publish') {
          writeToStream(message('a/b', 'x'.repeat(id * 700), { qos: 1, messageId: id }), stream, {
            protocolVersion: 5,
          })
        }
      }
      socket.stuck = false
      for (let i = 0; i < 5; i++) {
        socket.flush()
        await turn()
      }
      const found = decode(socket.written).map(
        ({ cmd, messageId }) => `${cmd === 'puback' ? 'ack' : cmd} ${messageId}`,
      )
      stream.destroy()
      // MQTT.js's packets are corked until the next tick, and what is written meanwhile waits with them: in order.
      return found.join() === expected.join()
    }),
    { numRuns: 100 },
  )
  t.pass()
})

test('a socket that takes no more is felt by whoever writes, until it drains', async (t) => {
  const { socket, stream } = setup()
  socket.stuck = true
  while (stream.write(Buffer.alloc(5_000))) await turn()
  t.true(stream.writableLength >= 5_000)
  let drained = false
  stream.once('drain', () => (drained = true))
  await turn()
  t.false(drained)
  socket.stuck = false
  for (let i = 0; i < 5; i++) {
    socket.flush()
    await turn()
  }
  t.true(drained)
  t.is(stream.writableLength, 0)
  stream.destroy()
})

test('the socket is not read while MQTT.js does not take what is there', async (t) => {
  const { arrivals, socket, stream } = setup()
  socket.push(connack)
  await turn()
  let sent = 0
  while (!socket.isPaused() && sent < 1_000) {
    socket.push(bulk(10_000, ++sent))
    await turn()
  }
  t.true(sent < 100, 'the queue has a limit')
  socket.push(qos(1, 1))
  await turn()
  t.deepEqual(arrivals, [])
  let bytes = 0
  stream.on('data', (chunk: Buffer) => (bytes += chunk.length))
  for (let i = 0; i < 10 && arrivals.length === 0; i++) await turn()
  t.is(arrivals.length, 1)
  t.true(bytes > sent * 10_000)
  stream.destroy()
})

test('hold() stops the reading until release(), whatever MQTT.js does', async (t) => {
  const { arrivals, socket, stream } = setup()
  stream.on('data', () => {})
  socket.push(connack)
  await turn()
  stream.hold()
  socket.push(qos(1, 1))
  stream.pause()
  stream.resume()
  stream.read()
  await turn()
  t.true(socket.isPaused())
  t.deepEqual(arrivals, [])
  stream.release()
  await turn()
  t.is(arrivals.length, 1)
  stream.destroy()
})

test('hold() stays when MQTT.js asks for more', async (t) => {
  const { arrivals, socket, stream } = setup()
  socket.push(connack)
  await turn()
  socket.push(bulk(60_000, 1))
  await turn()
  stream.hold()
  socket.push(qos(1, 1))
  stream.resume()
  await turn()
  t.is(stream.readableLength, 0)
  t.true(socket.isPaused())
  t.deepEqual(arrivals, [])
  stream.release()
  await turn()
  t.is(arrivals.length, 1)
  stream.destroy()
})

test('release() does not read on while MQTT.js does not', async (t) => {
  const { socket, stream } = setup()
  socket.push(connack)
  await turn()
  for (let id = 1; !socket.isPaused(); id++) {
    socket.push(bulk(10_000, id))
    await turn()
  }
  stream.hold()
  stream.release()
  t.true(socket.isPaused())
  stream.destroy()
})

test("the socket's error comes as it is, behind all that came before it, and close is last", async (t) => {
  const { socket, stream } = setup()
  const log: unknown[] = []
  const fault = Object.assign(new Error('reset'), { code: 'ECONNRESET' })
  stream.on('data', (bytes: Buffer) => log.push(bytes))
  stream.on('error', (error) => log.push(error))
  stream.on('close', () => log.push('close'))
  socket.push(connack)
  await turn()
  socket.push(pingresp)
  socket.destroy(fault)
  await once(stream, 'close').catch(() => {})
  await turn()
  const passed = log.filter((entry) => Buffer.isBuffer(entry))
  t.deepEqual(Buffer.concat(passed), Buffer.concat([connack, pingresp]))
  t.deepEqual(log.slice(-2), [fault, 'close'])
  t.true(stream.destroyed)
})

test('the end of the other side destroys both, without an error', async (t) => {
  const { socket, stream } = setup()
  let passed = 0
  stream.on('data', (bytes: Buffer) => (passed += bytes.length))
  socket.push(Buffer.concat([connack, pingresp]))
  socket.push(null)
  await once(stream, 'close')
  t.is(passed, connack.length + pingresp.length)
  t.is(stream.errored, null)
  t.true(socket.destroyed)
})

test('what came before the end is still taken by whoever takes it in a later tick', async (t) => {
  const { socket, stream } = setup()
  let passed = 0
  stream.on('data', (bytes: Buffer) => (passed += bytes.length))
  stream.pause()
  socket.push(Buffer.concat([connack, pingresp]))
  socket.push(null)
  socket.once('end', () => process.nextTick(() => stream.resume()))
  await once(stream, 'close')
  t.is(passed, connack.length + pingresp.length)
})

test('an error right behind the end is the cause, as TLS gives it', async (t) => {
  const { socket, stream } = setup()
  const fault = new Error('before secure')
  const failed = once(stream, 'error')
  socket.once('end', () => socket.destroy(fault))
  socket.push(null)
  t.deepEqual(await failed, [fault])
})

test('what is written when the other side has gone is dropped in silence', async (t) => {
  const { socket, stream } = setup()
  stream.on('error', (error) => t.fail(String(error)))
  const closed = once(stream, 'close')
  socket.push(null)
  socket.once('end', () => {
    stream.write('a')
    t.true(stream.spent)
  })
  t.false(stream.spent)
  await closed
  t.true(stream.spent)
  t.is(socket.written.length, 0)
})

test('to destroy it destroys the socket, and a late error of the socket ends nothing', async (t) => {
  const { socket, stream } = setup()
  stream.destroy()
  await once(stream, 'close')
  t.true(socket.destroyed)
  t.notThrows(() => socket.emit('error', new Error('late')))
  stream.hold()
  stream.release()
  stream.finish(10)
})

test('finish() sends DISCONNECT behind everything and nothing behind it, half-closes, and reads to the end', async (t) => {
  const { arrivals, socket, stream } = setup()
  let passed = 0
  stream.on('data', (bytes: Buffer) => (passed += bytes.length))
  socket.push(connack)
  await turn()
  stream.hold()
  writeToStream(message('a', 'x', { qos: 1, messageId: 1 }), stream, { protocolVersion: 5 })
  stream.write(encodePubacks([4]))
  stream.finish(10_000)
  stream.finish(10_000)
  stream.write(encodePubacks([5]))
  writeToStream({ cmd: 'pingreq' }, stream, { protocolVersion: 5 })
  await turn()
  writeToStream({ cmd: 'pingreq' }, stream, { protocolVersion: 5 })
  await turn()
  t.deepEqual(
    decode(socket.written).map(({ cmd }) => cmd),
    ['publish', 'puback', 'disconnect'],
  )
  t.true(socket.finished)
  t.false(stream.destroyed)
  stream.hold()
  socket.push(Buffer.concat([qos(1, 6), encode({ cmd: 'puback', messageId: 1, reasonCode: 0 })]))
  await turn()
  t.is(arrivals.length, 1)
  t.is(passed, connack.length + 4)
  socket.push(null)
  await once(stream, 'close')
  t.is(stream.errored, null)
})

test('finish() reads on though MQTT.js does not', async (t) => {
  const { socket, stream } = setup()
  socket.push(connack)
  await turn()
  for (let id = 1; !socket.isPaused(); id++) {
    socket.push(bulk(10_000, id))
    await turn()
  }
  stream.finish(10_000)
  for (let id = 1; id < 10; id++) {
    socket.push(bulk(10_000, id))
    await turn()
    t.false(socket.isPaused())
  }
  socket.push(null)
  await once(stream, 'close')
})

test('finish() destroys after its limit when the other side does not end', async (t) => {
  const { socket, stream } = setup()
  socket.push(connack)
  await turn()
  const begin = performance.now()
  stream.finish(30)
  await once(stream, 'close')
  t.true(performance.now() - begin >= 25)
  t.true(socket.destroyed)
})

test('finish() destroys after its limit when not even DISCONNECT gets through', async (t) => {
  const { socket, stream } = setup()
  socket.stuck = true
  stream.write(Buffer.alloc(100_000))
  await turn()
  stream.finish(30)
  await once(stream, 'close')
  t.false(socket.finished)
  t.true(socket.destroyed)
})

test('reached is true once bytes could flow', (t) => {
  const { socket, stream } = setup()
  t.false(stream.reached)
  socket.emit('connect')
  t.true(stream.reached)
  stream.destroy()
})
