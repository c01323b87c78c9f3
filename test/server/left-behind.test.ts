// What a receiver that goes leaves behind: each message once, for its successor or for the dead letters.
import test, { type ExecutionContext } from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import type { Outcome, Plan } from '../../lib/core/receiver.ts'
import { Guest } from '../helpers/guest.ts'
import { turns } from '../helpers/memory-server.ts'
import { stageServer, type StagedServer } from '../helpers/staged-server.ts'

const failurePolicy: Plan['failurePolicy'] = () => ({
  retry: { attempts: 3, minDelayMs: 100, maxDelayMs: 100, jitter: false, never: [] },
  deadLetter: false,
})

const notTaken: Outcome = { type: 'notTaken', error: new Error('it has ended'), route: undefined }
const kept = { keepSubscriptions: true, drainTimeoutMs: 500 } as const

interface Stage extends StagedServer {
  /** Ends its messages when it is told to. */
  readonly guest: Guest
}

async function stage(t: ExecutionContext, plan: Partial<Plan> = {}): Promise<Stage> {
  const staged = stageServer(t, mqttasgi())
  await staged.server.start()
  const guest = new Guest('guest', ['b/+'], { holds: true, plan: { failurePolicy, ...plan } })
  await staged.server.attach(guest)
  return { ...staged, guest }
}

for (const keepSubscriptions of [true, false]) {
  test(`what is run for the second time is left ${keepSubscriptions ? 'to its successor once, in front of what stands behind it' : 'undone once'}`, async (t) => {
    const { clock, guest, server, transport } = await stage(t)
    const other = new Guest('other', ['b/+'], { holds: true })
    await server.attach(other)
    for (const text of ['one', 'behind']) transport.deliver('b/1', text)
    await turns()
    guest.end('one', { type: 'failed', error: new Error('not now'), route: undefined })
    await turns()
    clock.advance(100)
    await turns()
    t.deepEqual(guest.seen, ['one', 'one'])
    t.deepEqual(await server.detach(guest, { drainTimeoutMs: 0, keepSubscriptions }), { unsettled: 2 })
    const successor = new Guest('guest', ['b/+'])
    await server.attach(successor)
    await turns()
    t.deepEqual(successor.seen, keepSubscriptions ? ['one', 'behind'] : [])
    // It still runs at the other one.
    t.deepEqual(transport.acknowledged, [])
    for (const text of ['one', 'behind']) {
      other.end(text)
      await turns()
    }
    t.deepEqual(transport.acknowledged, [1, 2])
  })
}

test('what was not begun waits with all that stands behind it in its lane, in front of what came later', async (t) => {
  const { guest, server, transport } = await stage(t)
  for (const text of ['one', 'two', 'three']) transport.deliver('b/1', text)
  transport.deliver('b/2', 'runs')
  transport.deliver('b/3', 'four')
  await turns()
  const detached = server.detach(guest, kept)
  transport.deliver('b/1', 'later')
  await turns()
  for (const text of ['one', 'four']) guest.end(text, notTaken)
  await turns()
  t.deepEqual(guest.seen, ['one', 'runs', 'four'])
  guest.end('runs')
  t.deepEqual(await detached, { unsettled: 4 })
  const successor = new Guest('guest', ['b/+'])
  await server.attach(successor)
  await turns()
  t.deepEqual(successor.seen, ['one', 'two', 'three', 'four', 'later'])
  t.is(server.counters.acknowledged, 6)
})

test('what it leaves a place to is given back as well', async (t) => {
  const { guest, server, transport } = await stage(t, { order: 'none', limits: [{ name: 'b', most: 1 }] })
  for (const text of ['one', 'two']) transport.deliver('b/1', text)
  await turns()
  const detached = server.detach(guest, kept)
  guest.end('one', notTaken)
  await turns()
  t.deepEqual(guest.seen, ['one', 'two'])
  guest.end('two', notTaken)
  t.deepEqual(await detached, { unsettled: 2 })
  const successor = new Guest('guest', ['b/+'])
  await server.attach(successor)
  await turns()
  t.deepEqual(successor.seen, ['one', 'two'])
})

test('what is given back counts beside what has no end at the limit', async (t) => {
  const { clock, guest, server, transport } = await stage(t)
  for (const n of [1, 2]) transport.deliver(`b/${n}`, `${n}`)
  await turns()
  const detached = server.detach(guest, kept)
  guest.end('1', notTaken)
  await turns()
  clock.advance(500)
  t.deepEqual(await detached, { unsettled: 2 })
})

test('where nobody is to come, what was not begun is looked at again', async (t) => {
  const { clock, guest, server, transport } = await stage(t)
  transport.deliver('b/1', 'one')
  await turns()
  const detached = server.detach(guest, { drainTimeoutMs: 500 })
  guest.end('one', notTaken)
  await turns()
  clock.advance(200)
  await turns()
  guest.end('one')
  t.deepEqual(await detached, { unsettled: 0 })
  t.deepEqual(guest.seen, ['one', 'one'])
})

test('what is given back while the server stops, and nobody sends again, does not wait', async (t) => {
  const { guest, server, transport } = await stage(t)
  transport.deliver('b/1', 'one')
  await turns()
  const detached = server.detach(guest, kept)
  const stopped = server.stop()
  guest.end('one', notTaken)
  await detached
  t.like(await stopped, { unsettled: 0 })
  t.is(server.counters.failed, 1)
})
