// What the dispatcher does with messages that come again on a new connection: they run once, and nothing stands still.
import test, { type ExecutionContext } from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import { silentLog } from '../../lib/core/log.ts'
import type { Outcome, Receiver } from '../../lib/core/receiver.ts'
import { zeroCounters } from '../../lib/server/counters.ts'
import { Dispatcher } from '../../lib/server/dispatcher.ts'
import { slotOf, type Slot } from '../../lib/server/job.ts'
import { Recipients } from '../../lib/server/recipients.ts'
import { systemClock } from '../../lib/system-clock.ts'
import type { Arrival } from '../../lib/transport/transport.ts'
import { plainPlan } from '../helpers/plan.ts'

function arrival(packetId: number, payload: string, dup = false, topic = `t/${payload}`): Arrival {
  return {
    topic,
    payload: Buffer.from(payload),
    qos: packetId === 0 ? 0 : 1,
    retain: false,
    dup,
    properties: {},
    packetId,
    bytes: 100,
    invalid: undefined,
    subscriptionIdentifiers: [],
    share: undefined,
    equals: (other) => other.topic === topic && other.payload.toString() === payload,
  }
}

/** A dispatcher with one receiver whose handlers end when told to. */
class Stage {
  readonly dispatcher: Dispatcher
  readonly counters = zeroCounters()
  /** Payloads in the order their handlers were started. */
  readonly started: string[] = []
  /** Packet ids as they were acknowledged. */
  readonly acked: number[] = []
  /** The connection has ended, and the dispatcher has not been told yet. */
  deaf = false
  readonly #running = new Map<string, Deferred<Outcome>>()

  constructor(t: ExecutionContext, maxInFlight: number) {
    const recipients = new Recipients<Slot>()
    recipients.update([{ recipient: slotOf(this.#receiver()), interests: [] }])
    this.dispatcher = new Dispatcher({
      port: {
        acknowledge: (ids) => {
          if (this.deaf) return false
          this.acked.push(...ids)
          return true
        },
        pause: () => {},
        resume: () => {},
        cut: () => t.fail('The connection was cut.'),
        awaiting: false,
      },
      recipients,
      copies: { judge: () => ({ type: 'run', share: undefined }) },
      counters: this.counters,
      limits: { maxInFlight, maxWaitingBytes: 1_000_000 },
      clock: systemClock,
      random: Math.random,
      log: silentLog,
      bury: undefined,
      report: () => {},
      defer: (callback) => queueMicrotask(callback),
    })
  }

  get running(): string[] {
    return [...this.#running.keys()]
  }

  /** Ends the handlers of these messages. */
  async end(...payloads: string[]): Promise<void> {
    for (const payload of payloads) {
      this.#running.get(payload)?.resolve({ type: 'done', handled: true })
      this.#running.delete(payload)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  arrive(...arrivals: Arrival[]): void {
    for (const one of arrivals) this.dispatcher.arrived(one)
  }

  reconnect(sessionPresent = true): void {
    this.dispatcher.disconnected()
    this.dispatcher.connected(sessionPresent)
  }

  #receiver(): Receiver {
    return {
      id: 'application',
      interests: () => [],
      onInterests: () => () => {},
      plan: () => plainPlan,
      receive: (message) => {
        const payload = message.payload.toString()
        const ended = new Deferred<Outcome>()
        this.started.push(payload)
        this.#running.set(payload, ended)
        return ended.promise
      },
      connected: () => Promise.resolve(),
      disconnected: () => Promise.resolve(),
    }
  }
}

test('a message whose acknowledgement was lost does not wait behind those that wait for it', async (t) => {
  const stage = new Stage(t, 2)
  stage.dispatcher.connected(true)
  stage.arrive(...['a', 'b', 'c', 'd'].map((payload, i) => arrival(i + 1, payload)))
  await stage.end('a')
  t.deepEqual(stage.acked, [1])
  t.deepEqual(stage.running, ['b', 'c'])
  // The acknowledgement of a never got there: it comes again, and is the first to be acknowledged.
  stage.reconnect()
  stage.arrive(...['a', 'b', 'c', 'd'].map((payload, i) => arrival(i + 1, payload, true)))
  await stage.end('b', 'c')
  t.deepEqual(stage.running, ['a', 'd'])
  await stage.end('a', 'd')
  t.deepEqual(stage.acked, [1, 1, 2, 3, 4])
  t.deepEqual(stage.started, ['a', 'b', 'c', 'a', 'd'])
})

test('what has not been begun when the connection ends is handled once when it comes again', async (t) => {
  const stage = new Stage(t, 1)
  stage.dispatcher.connected(true)
  stage.arrive(arrival(1, 'a'), arrival(2, 'b'), arrival(3, 'c'), arrival(0, 'once'))
  stage.reconnect()
  stage.arrive(arrival(1, 'a', true), arrival(2, 'b', true), arrival(3, 'c', true))
  while (stage.running.length > 0) await stage.end(...stage.running)
  t.deepEqual(stage.started.toSorted(), ['a', 'b', 'c', 'once'])
  t.deepEqual(stage.acked, [1, 2, 3])
  t.is(stage.dispatcher.inHand, 0)
})

test('what has not been begun when the session ends is handled all the same, for it never comes again', async (t) => {
  const stage = new Stage(t, 1)
  stage.dispatcher.connected(false)
  stage.arrive(arrival(1, 'a'), arrival(2, 'b'))
  stage.reconnect(false)
  await stage.end('a')
  await stage.end('b')
  t.deepEqual(stage.started, ['a', 'b'])
  t.deepEqual(stage.acked, [])
  t.is(stage.dispatcher.inHand, 0)
})

test('what could not be acknowledged, because the connection had just ended, is not handled again', async (t) => {
  const stage = new Stage(t, 2)
  stage.dispatcher.connected(true)
  stage.arrive(arrival(1, 'a'), arrival(2, 'b'))
  stage.deaf = true
  await stage.end('a', 'b')
  stage.deaf = false
  stage.reconnect()
  stage.arrive(arrival(1, 'a', true), arrival(2, 'b', true))
  await stage.end()
  t.deepEqual(stage.started, ['a', 'b'])
  t.deepEqual(stage.acked, [1, 2])
  t.is(stage.counters.acknowledged, 2)
})

test('what was handled while the broker was away is not handled again, however many tries it took', async (t) => {
  const stage = new Stage(t, 2)
  stage.dispatcher.connected(true)
  stage.arrive(arrival(1, 'a'), arrival(2, 'b'))
  stage.dispatcher.disconnected()
  await stage.end('a')
  stage.dispatcher.disconnected()
  await stage.end('b')
  stage.reconnect()
  stage.arrive(arrival(1, 'a', true), arrival(2, 'b', true))
  await stage.end()
  t.deepEqual(stage.started, ['a', 'b'])
  t.is(stage.counters.joined, 2)
})

test('an equal message that comes later is a new one, though the broker never sent the first one again', async (t) => {
  const stage = new Stage(t, 2)
  stage.dispatcher.connected(true)
  stage.arrive(arrival(1, 'a'))
  stage.dispatcher.disconnected()
  await stage.end('a')
  stage.dispatcher.connected(true)
  // With b the broker has gone on to new messages.
  stage.arrive(arrival(7, 'b'))
  await stage.end('b')
  stage.reconnect()
  stage.arrive(arrival(1, 'a'))
  t.deepEqual(stage.running, ['a'])
})

test('where a message has expired at the broker an equal one behind it is not taken for it', async (t) => {
  const stage = new Stage(t, 1)
  stage.dispatcher.connected(true)
  stage.arrive(arrival(1, 'a'))
  stage.reconnect()
  // The first one did not come again; the second waits behind it.
  stage.arrive(arrival(2, 'b'), arrival(3, 'a'))
  stage.reconnect()
  stage.arrive(arrival(4, 'b', true), arrival(5, 'a', true))
  await stage.end('a')
  await stage.end('b')
  await stage.end('a')
  t.deepEqual(stage.started, ['a', 'b', 'a'])
  t.deepEqual(stage.acked, [4, 5])
})
