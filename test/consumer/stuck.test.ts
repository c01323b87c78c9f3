// What does not end in a consumer's line: it has a time, and the consumer an end.
import test from 'ava'
import { InMemoryChannelLayer } from '../../lib/channels/memory.ts'
import { MqttConsumer } from '../../lib/consumer/consumer.ts'
import type { DeliveryOptions } from '../../lib/core/delivery-options.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import type { HostedReceiver } from '../../lib/core/hosted.ts'
import type { DisconnectReason } from '../../lib/core/receiver.ts'
import { hosted } from '../helpers/consumer-server.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { turns } from '../helpers/memory-server.ts'
import { hand, PlainAttempt, recordingClient, session } from '../helpers/worker-place.ts'

const endless = (): Promise<void> => new Promise(() => {})

/** In the group `g`, with handlers that do not end; what it is told is kept. */
class Stuck extends MqttConsumer {
  static override readonly options: DeliveryOptions = { timeoutMs: 200, holdMs: 500, order: 'none' }
  static override readonly channelHandlers = { stick: 'stick' }
  readonly told: string[] = []
  connections = 0

  override async connect(): Promise<void> {
    await this.groupAdd('g')
    if (++this.connections > 1) await endless()
  }
  override disconnect({ type }: DisconnectReason): void {
    this.told.push(type)
  }
  override receive(): Promise<void> {
    return endless()
  }
  stick(): Promise<void> {
    return endless()
  }
}

interface Scene {
  readonly clock: FakeClock
  readonly consumer: Stuck
  readonly layer: InMemoryChannelLayer
  readonly receiver: HostedReceiver
}

async function connected(): Promise<Scene> {
  const clock = new FakeClock()
  const layer = new InMemoryChannelLayer()
  const made: Stuck[] = []
  class One extends Stuck {
    constructor() {
      super()
      made.push(this)
    }
  }
  const receiver = hosted(One, { clock, channels: layer })
  await receiver.connected(recordingClient(), session)
  return { clock, consumer: made[0]!, layer, receiver }
}

/** Nobody is in the group any more, so nothing is left to fill up. */
async function isDeserted(layer: InMemoryChannelLayer): Promise<boolean> {
  for (let i = 0; i < 200; i++) await layer.groupSend('g', { type: 'stick' })
  return layer.counters.full === 0
}

test('a channel handler that does not end within the time of a handler ends the consumer', async (t) => {
  const { clock, consumer, layer, receiver } = await connected()
  await layer.groupSend('g', { type: 'stick' })
  await turns()
  const waiting = [hand(receiver, 'a'), hand(receiver, 'b')]
  clock.advance(199)
  await turns()
  t.deepEqual(consumer.told, [])
  clock.advance(1)
  t.like(await receiver.ended, { code: 'ERR_HANDLER_TIMEOUT' })
  for (const outcome of waiting) t.like(await outcome, { type: 'notTaken' })
  t.deepEqual(consumer.told, ['failed'])
  receiver.release()
  t.true(await isDeserted(layer))
})

test('so does a connect() that does not end, counted while there is a connection', async (t) => {
  const { clock, consumer, layer, receiver } = await connected()
  void receiver.connected(recordingClient(), session)
  await turns()
  void receiver.disconnected({ type: 'lost' })
  clock.advance(60_000)
  await turns()
  void receiver.connected(recordingClient(), session)
  clock.advance(199)
  await turns()
  t.deepEqual(consumer.told, [])
  clock.advance(1)
  const error = await receiver.ended
  t.like(error, { code: 'ERR_HANDLER_TIMEOUT' })
  t.regex(error?.message ?? '', /^connect\(\) of "application"/)
  t.deepEqual(consumer.told, ['failed'])
  receiver.release()
  t.true(await isDeserted(layer))
})

test('a consumer that is ended while its channel handler does not end leaves its groups, and is told', async (t) => {
  const { consumer, layer, receiver } = await connected()
  await layer.groupSend('g', { type: 'stick' })
  await turns()
  void receiver.disconnected({ type: 'killed' })
  await turns()
  t.true(await isDeserted(layer))
  t.deepEqual(consumer.told, [])
  receiver.release()
  t.deepEqual(consumer.told, ['killed'])
})

test('one that was told nothing, for there was no connection, is told when its time is over', async (t) => {
  const { clock, consumer, layer, receiver } = await connected()
  await layer.groupSend('g', { type: 'stick' })
  await turns()
  await Promise.race([receiver.disconnected({ type: 'lost' }), turns()])
  receiver.release()
  await turns()
  t.true(await isDeserted(layer))
  clock.advance(5_000)
  await turns()
  t.deepEqual(consumer.told, ['stopped'])
  t.is(clock.timers, 0)
})

test('what stands behind a handler that does not end comes back when the first one has waited too long', async (t) => {
  const { receiver } = await connected()
  const stuck = new PlainAttempt()
  void hand(receiver, 'a', '', stuck)
  const first = new PlainAttempt()
  const outcomes = [hand(receiver, 'b', '', first), hand(receiver, 'c')]
  stuck.controller.abort(new Error('time is over'))
  await first.chain?.giveUp(new Error('held'))
  t.like(await receiver.ended, { code: 'ERR_HANDLER_TIMEOUT' })
  t.like(await outcomes[0], { type: 'failed' })
  t.like(await outcomes[1], { type: 'notTaken' })
  receiver.release()
})

test('a query that runs when it is waited for holds up the rest, runs once, and has the same time', async (t) => {
  const clock = new FakeClock()
  const layer = new InMemoryChannelLayer()
  const gate = new Deferred()
  let answer = gate.promise
  let queries = 0
  let messages = 0
  class Lazy extends MqttConsumer {
    static override readonly options: DeliveryOptions = { timeoutMs: 200 }
    static override readonly channelHandlers = { query: 'query' }
    override async connect(): Promise<void> {
      await this.groupAdd('g')
    }
    override receive(): void {
      messages++
    }
    // As builders of queries are: no promise, and nothing happens before somebody waits.
    query(): PromiseLike<void> {
      const then: Promise<void>['then'] = (...reactions) => {
        queries++
        return answer.then(...reactions)
      }
      // oxlint-disable-next-line unicorn/no-thenable -- that is what such a query is
      return { then }
    }
  }
  const receiver = hosted(Lazy, { clock, channels: layer })
  await receiver.connected(recordingClient(), session)
  await layer.groupSend('g', { type: 'query' })
  await turns()
  const waits = hand(receiver, 'a')
  t.is(messages, 0)
  gate.resolve()
  await waits
  t.is(messages, 1)
  t.is(queries, 1)
  answer = endless()
  await layer.groupSend('g', { type: 'query' })
  await turns()
  clock.advance(200)
  t.like(await receiver.ended, { code: 'ERR_HANDLER_TIMEOUT' })
  receiver.release()
})

test('what ends in time leaves no timer', async (t) => {
  const { clock, receiver } = await connected()
  await turns()
  t.is(clock.timers, 1, 'of its groups')
  receiver.release()
  await turns()
  t.is(clock.timers, 0)
})
