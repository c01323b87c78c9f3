// What every Transport promises. Run by each implementation's own test file over its own kind of broker.
import type { ExecutionContext, TestFn } from 'ava'
import { MqttasgiError } from '../../lib/core/errors.ts'
import type {
  Arrival,
  ConnectionFailure,
  ConnectionInfo,
  SkippedPacket,
  SubscriptionRequest,
  Transport,
  TransportListener,
} from '../../lib/transport/transport.ts'

/** The broker's side, as little of it as the promises need. */
export interface ContractBroker {
  /** A PUBLISH to the client, which is connected. */
  deliver(topic: string, payload: string, qos: 0 | 1): void
  /** The packet ids of all PUBACKs it has got on all connections, in order. */
  acked(): readonly number[]
  /** The topics of all publications it has got; those of a resend once more. */
  published(): readonly string[]
  /** The filters of all SUBSCRIBEs it has got. */
  subscribed(): readonly string[]
  /** The next attempt to connect is refused in this way. */
  refuseNext(type: 'version' | 'credentials'): void
  /** The next SUBACKs have these codes, one each. */
  grantNext(...codes: number[]): void
  /** Publications are not answered until `release()`, which answers those of the connection that is up. */
  hold(): void
  release(): void
  /** The connection breaks. */
  lose(): void
}

export interface ContractSetup {
  readonly transport: Transport
  readonly broker: ContractBroker
}

/** Everything a transport tells, in order, with a way to wait for the next of a kind. */
export class Recorder implements TransportListener {
  readonly infos: ConnectionInfo[] = []
  readonly arrivals: Arrival[] = []
  readonly skips: SkippedPacket[] = []
  readonly failures: ConnectionFailure[] = []
  /** connected, arrived, skipped and closed, as they came. */
  readonly log: string[] = []
  readonly #watchers = new Set<() => void>()

  connected(info: ConnectionInfo): void {
    this.infos.push(info)
    this.#note('connected')
  }

  arrived(arrival: Arrival): void {
    this.arrivals.push(arrival)
    this.#note('arrived')
  }

  skipped(packet: SkippedPacket): void {
    this.skips.push(packet)
    this.#note('skipped')
  }

  closed(failure: ConnectionFailure): void {
    this.failures.push(failure)
    this.#note('closed')
  }

  /** Resolves with the n-th of a list, counted from 1, when it is there. */
  async nth<T>(list: readonly T[], n: number): Promise<T> {
    for (;;) {
      const found = list[n - 1]
      if (found !== undefined) return found
      await new Promise<void>((resolve) => {
        const watch = (): void => {
          this.#watchers.delete(watch)
          resolve()
        }
        this.#watchers.add(watch)
      })
    }
  }

  #note(what: string): void {
    this.log.push(what)
    for (const watch of this.#watchers) watch()
  }
}

/** A plain subscription. */
export function wanted(filter: string, more: Partial<SubscriptionRequest> = {}): SubscriptionRequest {
  return {
    filter,
    qos: 1,
    noLocal: false,
    retainHandling: 0,
    retainAsPublished: false,
    identifier: undefined,
    ...more,
  }
}

interface Opened extends ContractSetup {
  readonly recorder: Recorder
  /** Connects and waits for it. */
  readonly connect: () => Promise<ConnectionInfo>
}

const cutByTest: ConnectionFailure = { type: 'overflow', message: 'cut by the test' }

/** Registers the suite. `open` gives a transport that was not connected yet; it is closed by the suite. */
export function transportContract(
  test: TestFn,
  name: string,
  open: (t: ExecutionContext) => Promise<ContractSetup>,
): void {
  for (const version of [4, 5] as const) {
    const promise = (title: string, run: (t: ExecutionContext, opened: Opened) => Promise<void>): void => {
      test(`${name}, ${version === 4 ? '3.1.1' : 'MQTT 5'}: ${title}`, async (t) => {
        const { transport, broker } = await open(t)
        const recorder = new Recorder()
        transport.listen(recorder)
        t.teardown(() => transport.close(1_000))
        const connect = async (): Promise<ConnectionInfo> => {
          transport.connect(version)
          return await recorder.nth(recorder.infos, recorder.infos.length + 1)
        }
        await run(t, { transport, broker, recorder, connect })
      })
    }
    connecting(promise, version)
    messages(promise)
    requests(promise, version)
    ending(promise, version)
  }
}

type Promised = (title: string, run: (t: ExecutionContext, opened: Opened) => Promise<void>) => void

async function refusedWith(t: ExecutionContext, promise: Promise<unknown>, code: string): Promise<void> {
  const error = await t.throwsAsync(promise, { instanceOf: MqttasgiError })
  t.is(error?.code, code as MqttasgiError['code'])
}

function connecting(promise: Promised, version: 4 | 5): void {
  promise(
    'connect() ends in connected(), in a turn of its own, with what CONNACK settled',
    async (t, opened) => {
      const { recorder, transport } = opened
      transport.connect(version)
      t.deepEqual(recorder.log, [])
      const info = await recorder.nth(recorder.infos, 1)
      t.is(info.protocolVersion, version)
      t.is(info.sessionPresent, false)
      t.is(info.subscriptionIdentifiers, version === 5)
      t.true(info.receiveMaximum >= 1)
      t.deepEqual(recorder.log, ['connected'])
    },
  )

  for (const type of ['version', 'credentials'] as const) {
    promise(
      `a refusal for ${type} ends in closed(), once, and the next attempt stands for itself`,
      async (t, opened) => {
        const { broker, connect, recorder, transport } = opened
        broker.refuseNext(type)
        transport.connect(version)
        t.deepEqual(recorder.log, [])
        const failure = await recorder.nth(recorder.failures, 1)
        t.is(failure.type, type)
        t.truthy(failure.message)
        await connect()
        t.deepEqual(recorder.log, ['closed', 'connected'])
      },
    )
  }

  promise('without a connection nothing can be asked of the broker', async (t, { transport }) => {
    await refusedWith(t, transport.publish('a', Buffer.from('x'), { qos: 0 }), 'ERR_NOT_CONNECTED')
    await refusedWith(t, transport.publish('a', Buffer.from('x'), { qos: 1 }), 'ERR_NOT_CONNECTED')
    await refusedWith(t, transport.subscribe([wanted('a')]), 'ERR_NOT_CONNECTED')
    await refusedWith(t, transport.unsubscribe(['a']), 'ERR_NOT_CONNECTED')
    t.notThrows(() => {
      t.false(transport.acknowledge([1]))
      transport.pause()
      transport.resume()
      transport.cut(cutByTest)
    })
    t.false(transport.awaiting)
  })
}

function messages(promise: Promised): void {
  promise(
    'messages arrive in order, with a packet id where an acknowledgement is owed',
    async (t, opened) => {
      const { broker, connect, recorder } = opened
      await connect()
      broker.deliver('a/0', 'zero', 0)
      broker.deliver('a/1', 'one', 1)
      broker.deliver('a/1', 'two', 1)
      await recorder.nth(recorder.arrivals, 3)
      t.deepEqual(
        recorder.arrivals.map(({ payload, qos, topic }) => [topic, payload.toString(), qos]),
        [
          ['a/0', 'zero', 0],
          ['a/1', 'one', 1],
          ['a/1', 'two', 1],
        ],
      )
      const [zero, one, two] = recorder.arrivals
      t.is(zero?.packetId, 0)
      t.true(one !== undefined && two !== undefined && one.packetId > 0 && one.packetId !== two.packetId)
      t.true(one?.equals(one))
      t.false(one !== undefined && two?.equals(one))
      t.true((one?.bytes ?? 0) >= 'a/1one'.length)
      t.is(one?.invalid, undefined)
      t.deepEqual(one?.subscriptionIdentifiers, [])
    },
  )

  promise('acknowledgements leave when told, in the order told', async (t, opened) => {
    const { broker, connect, recorder, transport } = opened
    await connect()
    for (const payload of ['1', '2', '3']) broker.deliver('a', payload, 1)
    await recorder.nth(recorder.arrivals, 3)
    const ids = recorder.arrivals.map(({ packetId }) => packetId)
    await transport.publish('behind', Buffer.from(''), { qos: 1 })
    t.deepEqual(broker.acked(), [])
    t.true(transport.acknowledge([ids[2] ?? 0, ids[0] ?? 0]))
    t.true(transport.acknowledge([ids[1] ?? 0]))
    await transport.publish('behind', Buffer.from(''), { qos: 1 })
    t.deepEqual(broker.acked(), [ids[2], ids[0], ids[1]])
  })

  promise('what arrived while paused comes after resume(), in order', async (t, opened) => {
    const { broker, connect, recorder, transport } = opened
    await connect()
    transport.pause()
    for (const payload of ['1', '2', '3']) broker.deliver('a', payload, 1)
    transport.resume()
    await recorder.nth(recorder.arrivals, 3)
    t.deepEqual(
      recorder.arrivals.map(({ payload }) => payload.toString()),
      ['1', '2', '3'],
    )
  })
}

function requests(promise: Promised, version: 4 | 5): void {
  promise(
    'subscribe() resolves with every code of SUBACK in the order of the requests',
    async (t, opened) => {
      const { broker, connect, transport } = opened
      await connect()
      broker.grantNext(1, 0x80, 0)
      t.deepEqual(
        await transport.subscribe([wanted('a/+'), wanted('b'), wanted('c', { qos: 0 })]),
        [1, 0x80, 0],
      )
      t.deepEqual(broker.subscribed(), ['a/+', 'b', 'c'])
      t.deepEqual(await transport.subscribe([]), [])
    },
  )

  promise('a filter that is subscribed already is subscribed again when asked for', async (t, opened) => {
    const { broker, connect, transport } = opened
    await connect()
    await transport.subscribe([wanted('a')])
    await transport.subscribe([wanted('a', { retainHandling: 2 })])
    await transport.subscribe([wanted('a', { qos: 0 })])
    t.deepEqual(broker.subscribed(), ['a', 'a', 'a'])
  })

  promise('unsubscribe() resolves', async (t, { connect, transport }) => {
    await connect()
    await transport.subscribe([wanted('a'), wanted('b')])
    await t.notThrowsAsync(transport.unsubscribe(['a', 'b']))
    await t.notThrowsAsync(transport.unsubscribe([]))
  })

  promise('publish() resolves when the broker has answered, QoS 0 at once', async (t, opened) => {
    const { broker, connect, transport } = opened
    await connect()
    t.deepEqual(await transport.publish('zero', Buffer.from('x'), { qos: 0 }), { reasonCode: 0 })
    t.deepEqual(await transport.publish('one', Buffer.from('x'), { qos: 1 }), { reasonCode: 0 })
    t.deepEqual(broker.published(), ['zero', 'one'])
  })

  promise('awaiting is true while the broker owes an answer', async (t, opened) => {
    const { broker, connect, transport } = opened
    await connect()
    t.false(transport.awaiting)
    broker.hold()
    const answered = transport.publish('one', Buffer.from('x'), { qos: 1 })
    t.true(transport.awaiting)
    await transport.subscribe([wanted('a')])
    t.true(transport.awaiting)
    broker.release()
    await answered
    t.false(transport.awaiting)
  })

  promise('a publication that was not answered stays open over a reconnect', async (t, opened) => {
    const { broker, connect, recorder, transport } = opened
    await connect()
    broker.hold()
    let answered = false
    const answer = transport.publish('one', Buffer.from('x'), { qos: 1 }).then((result) => {
      answered = true
      return result
    })
    await transport.subscribe([wanted('a')])
    broker.lose()
    await recorder.nth(recorder.failures, 1)
    await refusedWith(t, transport.publish('two', Buffer.from('x'), { qos: 1 }), 'ERR_NOT_CONNECTED')
    t.false(answered)
    t.true(transport.awaiting)
    broker.release()
    transport.connect(version)
    t.deepEqual(await answer, { reasonCode: 0 })
    t.false(transport.awaiting)
  })
}

function ending(promise: Promised, version: 4 | 5): void {
  promise('a broken connection ends in closed(), once, and the next one is whole', async (t, opened) => {
    const { broker, connect, recorder, transport } = opened
    for (let round = 1; round <= 3; round++) {
      await connect()
      broker.deliver('a', `${round}`, 1)
      await recorder.nth(recorder.arrivals, round)
      broker.lose()
      const failure = await recorder.nth(recorder.failures, round)
      t.true(failure.type === 'closed' || failure.type === 'network')
      t.false(transport.acknowledge([1]))
    }
    t.deepEqual(recorder.log, Array.from({ length: 3 }, () => ['connected', 'arrived', 'closed']).flat())
    t.deepEqual(broker.acked(), [])
  })

  promise('cut() ends in closed() with its failure, in a turn of its own', async (t, opened) => {
    const { broker, connect, recorder, transport } = opened
    await connect()
    transport.cut(cutByTest)
    t.deepEqual(recorder.log, ['connected'])
    t.is(await recorder.nth(recorder.failures, 1), cutByTest)
    await connect()
    broker.deliver('a', 'x', 0)
    await recorder.nth(recorder.arrivals, 1)
    t.deepEqual(recorder.log, ['connected', 'closed', 'connected', 'arrived'])
  })

  promise(
    'close() sends what was acknowledged, tells closed(), and hands nothing on any more',
    async (t, opened) => {
      const { broker, connect, recorder, transport } = opened
      await connect()
      broker.deliver('a', 'x', 1)
      const { packetId } = await recorder.nth(recorder.arrivals, 1)
      broker.hold()
      const open = transport.publish('one', Buffer.from('x'), { qos: 1 })
      const refused = refusedWith(t, open, 'ERR_CONNECTION_CLOSED')
      transport.acknowledge([packetId])
      const closing = transport.close(1_000)
      await Promise.all([closing, transport.close(1_000), refused])
      t.deepEqual(broker.acked(), [packetId])
      t.deepEqual(recorder.log, ['connected', 'arrived', 'closed'])
      t.is(recorder.failures[0]?.type, 'closed')
      await refusedWith(t, transport.publish('two', Buffer.from('x'), { qos: 1 }), 'ERR_CONNECTION_CLOSED')
      t.false(transport.awaiting)
    },
  )

  promise(
    'close() while connecting ends the attempt, and there is no other',
    async (t, { recorder, transport }) => {
      transport.connect(version)
      await transport.close(1_000)
      t.deepEqual(recorder.log, ['closed'])
      transport.connect(version)
      await recorder.nth(recorder.failures, 2)
      t.deepEqual(recorder.log, ['closed', 'closed'])
    },
  )

  promise('close() without a connection is done at once', async (t, { recorder, transport }) => {
    await transport.close(1_000)
    t.deepEqual(recorder.log, [])
  })
}
