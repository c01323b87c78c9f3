// What every host of workers promises. Run by each implementation's own test file.
import type { ExecutionContext, TestFn } from 'ava'
import type { ReceiverIdentity } from '../../lib/core/hosted.ts'
import type { Incarnation, WorkerHost } from '../../lib/workers/host.ts'
import { hand, PlainAttempt, recordingClient, session } from '../helpers/worker-place.ts'

/** A host of `test/workers/programs/contract.ts`, or of what is named there. */
export type MakeWorkerHost = (
  identity: Partial<ReceiverIdentity>,
  name?: string,
) => WorkerHost | Promise<WorkerHost>

const alive = new AbortController().signal

/** Registers the suite; one after the other, for a thread takes its time to begin. */
export function workerHostContract(test: TestFn, name: string, make: MakeWorkerHost): void {
  const started = async (
    t: ExecutionContext,
    identity: Partial<ReceiverIdentity> = {},
    application?: string,
  ): Promise<Incarnation> => {
    const host = await make(identity, application)
    const one = await host.start(alive)
    t.teardown(() => one.close())
    return one
  }
  const promise = (title: string, run: (t: ExecutionContext) => Promise<void>): void =>
    test.serial(`${name}: ${title}`, run)

  promise('what is started says what it wants, and handles what comes', async (t) => {
    const { receiver } = await started(t)
    const client = recordingClient()
    await receiver.connected(client, session)
    t.deepEqual(
      receiver.interests().map(({ filter, qos }) => [filter, qos]),
      [['rooms/+/temp', 1]],
    )
    t.deepEqual(await hand(receiver, 'rooms/hall/temp', '21'), { type: 'done', handled: true })
    t.deepEqual(client.asked[0]?.slice(0, 3), ['publish', 'seen/hall', '21'])
  })

  promise('it stands under its mount, and its handlers have the parameters of that', async (t) => {
    const { receiver } = await started(t, { mount: 'house/+floor' })
    const client = recordingClient()
    await receiver.connected(client, session)
    t.is(receiver.interests()[0]?.filter, 'house/+/rooms/+/temp')
    await hand(receiver, 'house/2/rooms/hall/temp', '21')
    t.is(client.asked[0]?.[1], 'seen/2/hall')
  })

  promise('it has the scope it was given', async (t) => {
    const scope = { type: 'mqtt', appId: 'one', instanceType: 'worker', params: { to: 'elsewhere' } } as const
    const { receiver } = await started(t, { scope })
    const client = recordingClient()
    await receiver.connected(client, session)
    await hand(receiver, 'rooms/hall/temp', '21')
    t.is(client.asked[0]?.[1], 'elsewhere/hall')
  })

  promise('what a handler throws is an outcome, and ends nothing', async (t) => {
    const one = await started(t)
    await one.receiver.connected(recordingClient(), session)
    t.like(await hand(one.receiver, 'rooms/hall/temp', 'broken'), {
      type: 'failed',
      error: { message: 'broken it is' },
      route: 'rooms/+room/temp',
    })
    t.deepEqual(await hand(one.receiver, 'rooms/hall/temp', '21'), { type: 'done', handled: true })
  })

  promise('a new start is a new receiver, with the same wishes', async (t) => {
    const host = await make({})
    const first = await host.start(alive)
    await first.close()
    const second = await host.start(alive)
    t.teardown(() => second.close())
    t.not(second.receiver, first.receiver)
    t.is(second.receiver.interests()[0]?.filter, 'rooms/+/temp')
    await second.receiver.connected(recordingClient(), session)
    t.deepEqual(await hand(second.receiver, 'rooms/hall/temp', '21'), { type: 'done', handled: true })
  })

  promise('a consumer runs as well, subscribes for itself, and hears of its end', async (t) => {
    const { receiver } = await started(t, {}, 'Meter')
    const client = recordingClient()
    await receiver.connected(client, session)
    t.deepEqual(
      client.asked.map(([what, filter]) => [what, filter]),
      [['subscribe', 'meters/+']],
    )
    t.deepEqual(await hand(receiver, 'meters/7', '3'), { type: 'done', handled: true })
    t.deepEqual(client.asked.at(-1)?.slice(0, 3), ['publish', 'total', '3'])
    await receiver.disconnected({ type: 'killed' })
    t.deepEqual(client.asked.at(-1)?.slice(0, 3), ['publish', 'bye', 'killed'])
  })

  promise('a consumer whose connect() fails has ended, and its host says with what', async (t) => {
    const one = await started(t, {}, 'Unable')
    await one.receiver.connected(recordingClient(), session)
    t.is((await one.ended)?.message, 'not today')
  })

  promise('an attempt that is given up is over for whoever waits', async (t) => {
    const { receiver } = await started(t)
    const attempt = new PlainAttempt()
    await receiver.connected(recordingClient(), session)
    void hand(receiver, 'rooms/hall/temp', 'wait', attempt)
    const error = new Error('its time is over')
    t.like(await attempt.chain?.giveUp(error), { type: 'failed', error: { message: 'its time is over' } })
  })
}
