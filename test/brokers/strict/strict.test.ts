// The strict broker catches every way to break the rules, and none where they are kept.
import test, { type ExecutionContext } from 'ava'
import { connect, type Socket } from 'node:net'
import { generate, parser, type IConnectPacket, type Packet } from 'mqtt-packet'
import { startStrictBroker, type StrictBroker, type StrictOptions } from './broker.ts'
import type { ViolationType } from './violation.ts'

/** A client that says what the test wants, right or wrong. */
class Scribbler {
  readonly packets: Packet[] = []
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #version: 4 | 5
  readonly #watchers = new Set<() => void>()

  constructor(port: number, version: 4 | 5) {
    this.#version = version
    const reader = parser({ protocolVersion: version })
    reader.on('packet', (packet) => {
      this.packets.push(packet)
      for (const look of this.#watchers) look()
    })
    this.#socket = connect(port, '127.0.0.1')
    this.#socket.on('data', (bytes) => reader.parse(bytes))
    this.#socket.on('error', () => {})
    this.closed = new Promise((resolve) => this.#socket.once('close', () => resolve()))
  }

  write(...packets: (Packet | Buffer)[]): void {
    const bytes = packets.map((packet) =>
      Buffer.isBuffer(packet) ? packet : generate(packet, { protocolVersion: this.#version }),
    )
    this.#socket.write(Buffer.concat(bytes))
  }

  hello(more: Partial<IConnectPacket> = {}): void {
    const properties = this.#version === 5 ? { sessionExpiryInterval: 3_600, ...more.properties } : {}
    this.write({
      cmd: 'connect',
      clientId: 'one',
      clean: false,
      keepalive: 0,
      protocolVersion: this.#version,
      ...more,
      properties,
    })
  }

  ack(cmd: 'puback' | 'pubrec' | 'pubcomp', ...ids: number[]): void {
    this.write(...ids.map((messageId): Packet => ({ cmd, messageId, reasonCode: 0 })))
  }

  subscribe(topic = '#', qos: 0 | 1 | 2 = 2): void {
    this.write({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos }] })
  }

  /** The n-th packet of this kind. */
  async nth<C extends Packet['cmd']>(cmd: C, n: number): Promise<Extract<Packet, { cmd: C }>> {
    return await new Promise((resolve) => {
      const look = (): void => {
        const found = this.packets.filter((packet) => packet.cmd === cmd)[n - 1]
        if (found === undefined) return
        this.#watchers.delete(look)
        resolve(found as Extract<Packet, { cmd: C }>)
      }
      this.#watchers.add(look)
      look()
    })
  }

  published(): (number | undefined)[] {
    return this.packets.flatMap((packet) => (packet.cmd === 'publish' ? [packet.messageId] : []))
  }

  end(): void {
    this.#socket.destroy()
  }
}

interface Scene {
  readonly broker: StrictBroker
  readonly client: () => Scribbler
}

async function scene(t: ExecutionContext, version: 4 | 5, options: StrictOptions = {}): Promise<Scene> {
  const broker = await startStrictBroker(options)
  t.teardown(() => broker.stop())
  return { broker, client: () => new Scribbler(broker.port, version) }
}

/** Subscribed to all, with so many messages received and not acknowledged. */
async function listening(
  { broker, client }: Scene,
  count: number,
  qos: 1 | 2 = 1,
  hello: Partial<IConnectPacket> = {},
): Promise<Scribbler> {
  const one = client()
  one.hello(hello)
  one.subscribe()
  await one.nth('suback', 1)
  for (let i = 1; i <= count; i++) broker.publish('a', `m${i}`, { qos })
  if (count > 0) await one.nth('publish', count)
  return one
}

function types(broker: StrictBroker): ViolationType[] {
  return broker.violations.map(({ type }) => type)
}

const publication = { cmd: 'publish', topic: 'a', payload: 'x', dup: false, retain: false } as const

/** What a connected client that has received m1, m2 and m3 of QoS 1 does wrong, and what that is called. */
const wrongs: readonly (readonly [string, ViolationType, (client: Scribbler) => void])[] = [
  ['acknowledges the second message first', 'order', (one) => one.ack('puback', 2)],
  ['acknowledges a message twice', 'repeated', (one) => one.ack('puback', 1, 1)],
  ['acknowledges what was never sent', 'unknown', (one) => one.ack('puback', 9)],
  ['answers QoS 1 with PUBREC', 'sequence', (one) => one.ack('pubrec', 1)],
  ['completes QoS 1', 'sequence', (one) => one.ack('pubcomp', 1)],
  ['says CONNECT twice', 'connect', (one) => one.hello()],
  ['goes on after DISCONNECT', 'connect', (one) => one.write({ cmd: 'disconnect' }, { cmd: 'pingreq' })],
  ['publishes to a wildcard', 'topic', (one) => one.write({ ...publication, topic: 'a/+', qos: 0 })],
  ['publishes to nothing', 'topic', (one) => one.write(Buffer.of(0x30, 2, 0, 0))],
  [
    'publishes with a topic that is not UTF-8',
    'utf-8',
    (one) => one.write(Buffer.of(0x30, 5, 0, 2, 0x61, 0xff, 0)),
  ],
  ['publishes with NUL in a topic', 'utf-8', (one) => one.write(Buffer.of(0x30, 5, 0, 2, 0x61, 0, 0))],
  [
    'publishes twice with the id of a publication that is not answered',
    'packet id',
    (one) => one.write({ ...publication, qos: 1, messageId: 7 }, { ...publication, qos: 1, messageId: 7 }),
  ],
  [
    'publishes three at once where two are allowed',
    'window',
    (one) => {
      for (const messageId of [1, 2, 3]) one.write({ ...publication, qos: 1, messageId })
    },
  ],
  [
    'publishes a packet above the limit',
    'limit',
    (one) => one.write({ ...publication, qos: 0, payload: 'x'.repeat(2_000) }),
  ],
  [
    'publishes with QoS 2 where there is QoS 1',
    'limit',
    (one) => one.write({ ...publication, qos: 2, messageId: 7 }),
  ],
  ['subscribes to a filter that is none', 'topic', (one) => one.subscribe('a/b+')],
  ['subscribes to a shared filter without a filter', 'topic', (one) => one.subscribe('$share/group/')],
  ['answers like a server', 'protocol', (one) => one.write({ cmd: 'pingresp' })],
  ['sends what is not MQTT', 'malformed', (one) => one.write(Buffer.of(0xf3, 0x80, 0x80, 0x80, 0x80, 0x80))],
  ['sends a packet without its flags', 'malformed', (one) => one.write(Buffer.of(0x60, 2, 0, 1))],
]

const limits = { receiveMaximum: 2, maximumPacketSize: 1_000, maximumQos: 1 } as const

for (const version of [4, 5] as const) {
  for (const [what, type, act] of wrongs) {
    test(`a client that ${what} is thrown out for it: ${type} (protocol level ${version})`, async (t) => {
      const stage = await scene(t, version, { ...limits, faults: { holdsAnswers: true } })
      const one = await listening(stage, 3)
      act(one)
      await one.closed
      t.deepEqual(types(stage.broker), [type])
      const wanted = version === 5 ? ['disconnect'] : ['publish']
      if (type !== 'connect')
        t.deepEqual(
          one.packets.slice(-1).map(({ cmd }) => cmd),
          wanted,
        )
    })
  }

  test(`anything before CONNECT is a violation (protocol level ${version})`, async (t) => {
    const { broker, client } = await scene(t, version)
    const one = client()
    one.write({ cmd: 'pingreq' })
    await one.closed
    t.deepEqual(types(broker), ['connect'])
  })

  test(`an acknowledgement of an older connection is a violation (protocol level ${version})`, async (t) => {
    const stage = await scene(t, version)
    const first = await listening(stage, 2)
    first.end()
    await stage.broker.until(() => stage.broker.clients.length === 0)
    // Not sent again before this client says something.
    stage.broker.faults.holdsDeliveries = true
    const second = stage.client()
    second.hello()
    await second.nth('connack', 1)
    second.ack('puback', 1)
    await second.closed
    t.deepEqual(types(stage.broker), ['stale'])
  })

  test(`an acknowledgement with the id that a message had before is a violation (protocol level ${version})`, async (t) => {
    const stage = await scene(t, version, { faults: { renumbers: true } })
    const first = await listening(stage, 2)
    first.end()
    await stage.broker.until(() => stage.broker.clients.length === 0)
    const second = stage.client()
    second.hello()
    t.is((await second.nth('publish', 1)).messageId, 3)
    second.ack('puback', 1)
    await second.closed
    t.deepEqual(types(stage.broker), ['stale'])
  })

  test(`QoS 2 has its own order and its own steps (protocol level ${version})`, async (t) => {
    const bad: readonly (readonly [ViolationType, (client: Scribbler) => void])[] = [
      ['order', (one) => one.ack('pubrec', 2)],
      ['sequence', (one) => one.ack('pubcomp', 1)],
      ['sequence', (one) => one.ack('puback', 1)],
      ['repeated', (one) => one.ack('pubrec', 1, 1)],
    ]
    for (const [type, act] of bad) {
      const stage = await scene(t, version)
      const one = await listening(stage, 2, 2)
      act(one)
      await one.closed
      t.deepEqual(types(stage.broker), [type])
    }
    const stage = await scene(t, version)
    const good = await listening(stage, 2, 2)
    good.ack('pubrec', 1, 2)
    await good.nth('pubrel', 2)
    good.ack('pubcomp', 2, 1)
    await stage.broker.until(() => stage.broker.settled.length === 2)
    t.deepEqual(types(stage.broker), [])
  })

  test(`what is in flight is sent again in its order, after QoS 2 was received only its release (protocol level ${version})`, async (t) => {
    const stage = await scene(t, version)
    const first = await listening(stage, 3, 2)
    first.ack('pubrec', 1)
    await first.nth('pubrel', 1)
    first.end()
    await stage.broker.until(() => stage.broker.clients.length === 0)
    const second = stage.client()
    second.hello()
    await second.nth('publish', 2)
    const came = second.packets.map((packet) => [packet.cmd, packet.messageId])
    t.deepEqual(came, [
      ['connack', undefined],
      ['pubrel', 1],
      ['publish', 2],
      ['publish', 3],
    ])
    t.true((await second.nth('publish', 1)).dup)
    t.true((await second.nth('connack', 1)).sessionPresent)
  })

  test(`what is sent twice on one connection may be acknowledged once, or twice (protocol level ${version})`, async (t) => {
    for (const times of [1, 2]) {
      const stage = await scene(t, version)
      const one = await listening(stage, 2)
      stage.broker.resend()
      await one.nth('publish', 4)
      for (let i = 0; i < times; i++) one.ack('puback', 1, 2)
      await stage.broker.until(() => stage.broker.settled.length === 2)
      one.write({ cmd: 'pingreq' })
      await one.nth('pingresp', 1)
      t.deepEqual(types(stage.broker), [])
    }
  })

  test(`a session that was forgotten begins anew, and DUP may be missing (protocol level ${version})`, async (t) => {
    const stage = await scene(t, version, { faults: { dropsDup: true } })
    const first = await listening(stage, 1)
    stage.broker.cut('reset')
    await first.closed
    const second = stage.client()
    second.hello()
    t.false((await second.nth('publish', 1)).dup)
    stage.broker.forget()
    await second.closed
    const third = stage.client()
    third.hello()
    t.false((await third.nth('connack', 1)).sessionPresent)
    t.is(stage.broker.unsettled('one'), 0)
  })

  test(`a connection is cut after the byte that was asked for, either way (protocol level ${version})`, async (t) => {
    const whole = await scene(t, version)
    await listening(whole, 1)
    const [recorded] = whole.broker.links
    for (const direction of ['up', 'down'] as const) {
      const bytes = recorded?.[direction] ?? 0
      t.true(bytes > 5)
      for (const afterBytes of [1, bytes - 1]) {
        const stage = await scene(t, version, { faults: { cut: { direction, afterBytes } } })
        const one = stage.client()
        one.hello()
        one.subscribe()
        if (direction === 'down')
          stage.broker
            .until(() => stage.broker.subscriptions.filters('one').length > 0)
            .then(() => stage.broker.publish('a', 'm1'), t.fail)
        await one.closed
        t.is(stage.broker.links[0]?.[direction], afterBytes)
      }
    }
  })
}

test('it sends no more than the Receive Maximum, unless it is told to ignore it', async (t) => {
  for (const [ignoresWindow, most] of [
    [false, 2],
    [true, 5],
  ] as const) {
    const stage = await scene(t, 5, { faults: { ignoresWindow } })
    const one = await listening(stage, 2, 1, { properties: { receiveMaximum: 2 } })
    for (let i = 3; i <= 5; i++) stage.broker.publish('a', `m${i}`)
    one.write({ cmd: 'pingreq' })
    await one.nth('pingresp', 1)
    t.is(one.published().length, most)
    one.ack('puback', 1, 2)
    await one.nth('publish', most === 2 ? 4 : 5)
    t.deepEqual(types(stage.broker), [])
  }
})

test('a client that keeps silent for too long is thrown out', async (t) => {
  const { broker, client } = await scene(t, 5)
  const one = client()
  one.hello({ keepalive: 1 })
  await one.closed
  t.deepEqual(types(broker), ['keepalive'])
})

test('a reason code that PUBACK does not have, and No Local on a shared filter, are violations', async (t) => {
  const stage = await scene(t, 5)
  const one = await listening(stage, 1)
  one.write({ cmd: 'puback', messageId: 1, reasonCode: 0x82 })
  await one.closed
  const two = await listening(stage, 0)
  two.write({
    cmd: 'subscribe',
    messageId: 2,
    subscriptions: [{ topic: '$share/g/a', qos: 1, nl: true }],
  })
  await two.closed
  t.deepEqual(types(stage.broker), ['malformed', 'protocol'])
})

test('one byte at a time is the same to a client', async (t) => {
  const stage = await scene(t, 5, { faults: { chunked: true } })
  const one = await listening(stage, 3)
  one.ack('puback', 1, 2, 3)
  await stage.broker.until(() => stage.broker.settled.length === 3)
  t.deepEqual(types(stage.broker), [])
})

test('it tells who nobody listens, hands on what is retained, and serves the members of a group in turn', async (t) => {
  const { broker, client } = await scene(t, 5)
  const one = client()
  one.hello()
  one.write({ ...publication, qos: 1, messageId: 1, retain: true })
  t.is((await one.nth('puback', 1)).reasonCode, 0x10)
  one.subscribe('a')
  const kept = await one.nth('publish', 1)
  t.deepEqual([kept.payload.toString(), kept.retain], ['x', true])
  const two = client()
  two.hello({ clientId: 'two' })
  for (const member of [one, two]) member.subscribe('$share/g/b', 0)
  await Promise.all([one.nth('suback', 2), two.nth('suback', 1)])
  for (let i = 0; i < 4; i++) broker.publish('b', String(i))
  await Promise.all([one.nth('publish', 3), two.nth('publish', 2)])
  t.deepEqual(types(broker), [])
})

test('a second client with the same id throws the first one out, which is told why', async (t) => {
  const { client } = await scene(t, 5)
  const [one, two] = [client(), client()]
  one.hello()
  await one.nth('connack', 1)
  two.hello()
  await one.closed
  t.is((await one.nth('disconnect', 1)).reasonCode, 0x8e)
})

test('the will of a client that goes without a word is published, that of one that says goodbye is not', async (t) => {
  const { broker, client } = await scene(t, 4)
  const witness = client()
  witness.hello({ clientId: 'witness' })
  witness.subscribe()
  await witness.nth('suback', 1)
  for (const clientId of ['rude', 'polite']) {
    const one = client()
    one.hello({ clientId, will: { topic: 'gone', payload: Buffer.from(clientId), qos: 0, retain: false } })
    await one.nth('connack', 1)
    if (clientId === 'polite') one.write({ cmd: 'disconnect' })
    one.end()
    await broker.until(() => broker.clients.length === 1)
  }
  broker.publish('end', '', { qos: 0 })
  const said = [await witness.nth('publish', 1), await witness.nth('publish', 2)]
  t.deepEqual(
    said.map(({ payload }) => payload.toString()),
    ['rude', ''],
  )
})
