// The wire checker finds every kind of violation, in sessions forged for it, and none where there is none.
import test from 'ava'
import { generate, type Packet } from 'mqtt-packet'
import { checkWire, type WireRules } from './wire-check.ts'
import { keyOf, WireLog } from './wire-log.ts'

/** A session written by hand, as bytes, so that the log's parsing is part of the test. */
class Forgery {
  readonly log = new WireLog()
  readonly #version: 4 | 5
  #connection = 0

  constructor(version: 4 | 5 = 5) {
    this.#version = version
  }

  connect(clientId = 'one', receiveMaximum?: number): this {
    this.#connection++
    this.log.open(this.#connection)
    const properties =
      this.#version === 5 && receiveMaximum !== undefined ? { properties: { receiveMaximum } } : {}
    this.up({
      cmd: 'connect',
      clientId,
      clean: false,
      protocolVersion: this.#version,
      keepalive: 0,
      ...properties,
    })
    return this.down({ cmd: 'connack', sessionPresent: false, returnCode: 0, reasonCode: 0 })
  }

  publish(messageId: number, payload = `m${messageId}`, qos: 0 | 1 | 2 = 1): this {
    return this.down({ cmd: 'publish', topic: 't', payload, qos, dup: false, retain: false, messageId })
  }

  puback(...messageIds: number[]): this {
    for (const messageId of messageIds) this.up({ cmd: 'puback', messageId, reasonCode: 0 })
    return this
  }

  pubrec(...messageIds: number[]): this {
    for (const messageId of messageIds) this.up({ cmd: 'pubrec', messageId, reasonCode: 0 })
    return this
  }

  pubrel(...messageIds: number[]): this {
    for (const messageId of messageIds) this.down({ cmd: 'pubrel', messageId, reasonCode: 0 })
    return this
  }

  pubcomp(...messageIds: number[]): this {
    for (const messageId of messageIds) this.up({ cmd: 'pubcomp', messageId, reasonCode: 0 })
    return this
  }

  settled(...payloads: string[]): this {
    for (const payload of payloads) this.log.settled(keyOf('t', payload))
    return this
  }

  up(packet: Packet): this {
    this.log.bytes(this.#connection, 'up', generate(packet, { protocolVersion: this.#version }))
    return this
  }

  down(packet: Packet): this {
    this.log.bytes(this.#connection, 'down', generate(packet, { protocolVersion: this.#version }))
    return this
  }

  found(rules?: WireRules): string[] {
    return checkWire(this.log, rules).map(({ type, connection }) => `${type} ${connection}`)
  }
}

for (const version of [4, 5] as const) {
  test(`a session of version ${version} without fault has no violation`, (t) => {
    const forgery = new Forgery(version)
    forgery.connect().publish(1).publish(2).publish(3).publish(9, 'at most once', 0)
    forgery.settled('m2', 'm1').puback(1, 2).publish(1, 'again').settled('m3', 'again').puback(3, 1)
    forgery.connect().publish(3).settled('m3').puback(3)
    t.deepEqual(forgery.found({ window: 3, settled: true }), [])
  })

  test(`version ${version}: a PUBACK out of order is found, and only that one`, (t) => {
    const forgery = new Forgery(version).connect().publish(1).publish(2).publish(3).puback(2, 1, 3)
    t.deepEqual(forgery.found(), ['order 1'])
  })
}

test('a PUBACK for what never came is found', (t) => {
  t.deepEqual(new Forgery().connect().publish(1).puback(2).found(), ['unknown 1'])
  t.deepEqual(new Forgery().connect().publish(1, 'm', 0).puback(1).found(), ['unknown 1'])
})

test('a second PUBACK for one message is found', (t) => {
  t.deepEqual(new Forgery().connect().publish(1).puback(1, 1).found(), ['repeated 1'])
})

test('an id may come again once it was acknowledged', (t) => {
  t.deepEqual(new Forgery().connect().publish(1).puback(1).publish(1, 'new').puback(1).found(), [])
})

test('what is sent again on the same connection is still one message, in its old place', (t) => {
  t.deepEqual(new Forgery().connect().publish(1).publish(2).publish(1).puback(1, 2).found(), [])
  t.deepEqual(new Forgery().connect().publish(1).publish(2).publish(1).puback(2, 1).found(), ['order 1'])
})

test('what is sent again may cross its acknowledgement, and is then acknowledged once more, but no more often', (t) => {
  const twice = (): Forgery => new Forgery().connect().publish(1).publish(1)
  t.deepEqual(twice().puback(1, 1).found(), [])
  t.deepEqual(twice().puback(1, 1, 1).found(), ['repeated 1'])
  t.deepEqual(twice().puback(1).publish(1, 'new').puback(1, 1).found(), ['repeated 1'])
})

test('a PUBACK for a message of an older connection is found', (t) => {
  t.deepEqual(new Forgery().connect().publish(1).connect().puback(1).found(), ['stale 2'])
  t.deepEqual(new Forgery().connect().publish(1).puback(1).connect().puback(1).found(), ['stale 2'])
})

test('the older connection of another client does not count as older', (t) => {
  t.deepEqual(new Forgery().connect('one').publish(1).connect('two').puback(1).found(), ['unknown 2'])
})

test('a stale PUBACK that hits another message of the new connection is found by its settlement', (t) => {
  const forgery = new Forgery().connect().publish(1, 'old').connect().publish(1, 'new')
  forgery.settled('old').puback(1)
  t.deepEqual(forgery.found({ settled: true }), ['early 2'])
})

test('a PUBACK before its chain settled is found', (t) => {
  const forgery = new Forgery().connect().publish(1).publish(2).settled('m1').puback(1, 2).settled('m2')
  t.deepEqual(forgery.found({ settled: true }), ['early 1'])
  t.deepEqual(forgery.found(), [], 'without the rule it is not looked at')
})

test('of equal messages each needs an end of its own, but for copies and what comes again', (t) => {
  const letter = { cmd: 'publish', topic: 't', payload: 'm', qos: 1, retain: false } as const
  const equal = (dup: boolean): Forgery => {
    const forgery = new Forgery().connect()
    for (const messageId of [1, 2]) forgery.down({ ...letter, messageId, dup: dup && messageId === 2 })
    forgery.log.concluded(keyOf('t', 'm'))
    return forgery.puback(1, 2)
  }
  t.deepEqual(equal(false).found({ concluded: true }), ['early 1'])
  t.deepEqual(equal(false).found({ concluded: 'copies' }), [])
  t.deepEqual(equal(true).found({ concluded: true }), [])
  const forgery = equal(false)
  forgery.log.concluded(keyOf('t', 'm'))
  t.deepEqual(
    forgery
      .down({ ...letter, messageId: 3, dup: false })
      .puback(3)
      .found({ concluded: true }),
    ['early 1'],
  )
})

test('a PUBACK before any server said that it was done is found, and another message is no excuse', (t) => {
  const forgery = new Forgery().connect().publish(1).publish(2)
  forgery.log.concluded(keyOf('t', 'm1'))
  forgery.puback(1, 2)
  t.deepEqual(forgery.found({ concluded: true }), ['early 1'])
  t.deepEqual(forgery.found(), [], 'without the rule it is not looked at')
})

test('more publications of the client than the broker takes at once are found', (t) => {
  const publish = (forgery: Forgery, messageId: number, qos: 0 | 1 | 2 = 1): Forgery =>
    forgery.up({ cmd: 'publish', topic: 't', payload: '', qos, dup: false, retain: false, messageId })
  const limited = (): Forgery =>
    new Forgery()
      .connect()
      .down({ cmd: 'connack', sessionPresent: false, reasonCode: 0, properties: { receiveMaximum: 1 } })
  const over = publish(publish(limited(), 1), 2)
  t.deepEqual(over.found(), ['quota 1'])
  const within = publish(publish(limited(), 1), 0, 0).down({ cmd: 'puback', messageId: 1, reasonCode: 0 })
  publish(within, 2, 2).down({ cmd: 'pubrec', messageId: 2, reasonCode: 0x97 })
  publish(within, 3, 2).down({ cmd: 'pubcomp', messageId: 3, reasonCode: 0 })
  t.deepEqual(publish(within, 4).found(), [])
  t.deepEqual(publish(within.connect(), 4).found(), [], 'each connection counts for itself')
})

test('the key of a settlement can be made by the test', (t) => {
  const forgery = new Forgery().connect().publish(1).puback(1)
  const settled = (topic: string, payload: Buffer): string => `${topic}/${payload.toString()}`
  t.deepEqual(forgery.found({ settled }), ['early 1'])
  const better = new Forgery().connect().publish(1)
  better.log.settled('t/m1')
  t.deepEqual(better.puback(1).found({ settled }), [])
})

test('more unacknowledged messages than the window allows are found', (t) => {
  const forgery = new Forgery().connect('one', 2).publish(1).publish(2).publish(3)
  t.deepEqual(forgery.found({ window: 'announced' }), ['window 1'])
  t.deepEqual(forgery.found({ window: 2 }), ['window 1'])
  t.deepEqual(forgery.found({ window: 3 }), [])
  t.deepEqual(forgery.found(), [], 'without the rule it is not looked at')
})

test('a window that was not announced is that of the standard', (t) => {
  t.deepEqual(new Forgery().connect().publish(1).publish(2).found({ window: 'announced' }), [])
})

test('the window has room again after PUBACK, after PUBCOMP and after a PUBREC that refuses', (t) => {
  const forgery = new Forgery().connect('one', 1).publish(1).puback(1).publish(2, 'm2', 2)
  forgery
    .up({ cmd: 'pubrec', messageId: 2, reasonCode: 0 })
    .down({ cmd: 'pubrel', messageId: 2, reasonCode: 0 })
  t.deepEqual(forgery.found({ window: 'announced' }), [])
  t.deepEqual(forgery.publish(3).found({ window: 'announced' }), ['window 1'])
  const ended = new Forgery().connect('one', 1).publish(2, 'm2', 2)
  ended.pubrec(2).pubrel(2).pubcomp(2).publish(3, 'm3', 2)
  ended.up({ cmd: 'pubrec', messageId: 3, reasonCode: 0x80 }).publish(4)
  t.deepEqual(ended.found({ window: 'announced' }), [])
})

test('bytes that are not MQTT are found once, whatever follows', (t) => {
  const forgery = new Forgery().connect()
  forgery.log.bytes(1, 'up', Buffer.from([0x00, 0x00]))
  forgery.log.bytes(1, 'up', Buffer.from('rubbish'))
  t.deepEqual(forgery.found(), ['malformed 1'])
})

test('a violation says what it is about', (t) => {
  const [violation] = checkWire(new Forgery().connect().publish(7).publish(8).puback(8).log)
  t.is(violation?.message, 'PUBACK 8: message 7 was received before it')
})

test('an exchange of QoS 2 without fault has no violation, also where it ends on another connection', (t) => {
  const forgery = new Forgery().connect().publish(1, 'm1', 2).publish(2, 'm2').publish(3, 'm3', 2)
  forgery.settled('m1', 'm2', 'm3').puback(2).pubrec(1, 3).pubrel(1).pubcomp(1)
  forgery.connect().pubrel(3).pubcomp(3).publish(1, 'm1', 2).pubrec(1)
  t.deepEqual(forgery.found({ settled: true }), [])
})

test('a PUBREC out of order, before its chain settled, twice, of an older connection or for nothing is found', (t) => {
  const two = (): Forgery => new Forgery().connect().publish(1, 'm1', 2).publish(2, 'm2', 2)
  t.deepEqual(two().pubrec(2, 1).found(), ['order 1'])
  t.deepEqual(two().settled('m1').pubrec(1, 2).found({ settled: true }), ['early 1'])
  t.deepEqual(two().pubrec(1, 1).found(), ['repeated 1'])
  t.deepEqual(two().publish(1, 'm1', 2).pubrec(1, 2).publish(1, 'm1', 2).pubrec(1).found(), [])
  t.deepEqual(two().connect().pubrec(1).found(), ['stale 2'])
  t.deepEqual(two().pubrec(3).found(), ['unknown 1'])
  t.deepEqual(new Forgery().connect().publish(1).pubrec(1).found(), ['unknown 1'])
  t.deepEqual(two().puback(1).found(), ['unknown 1'])
})

test('a PUBCOMP without a PUBREL is found', (t) => {
  const forgery = new Forgery().connect().publish(1, 'm1', 2).pubrec(1).pubcomp(1)
  t.deepEqual(forgery.found(), ['unknown 1'])
  t.deepEqual(new Forgery().connect().pubrel(1).pubcomp(1, 1).found(), ['unknown 1'])
})
