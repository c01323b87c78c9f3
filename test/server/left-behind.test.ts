// What a receiver that goes leaves behind: each message once, for its successor or for the dead letters.
import test, { type ExecutionContext } from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import type { Plan } from '../../lib/core/receiver.ts'
import { Guest } from '../helpers/guest.ts'
import { turns } from '../helpers/memory-server.ts'
import { stageServer, type StagedServer } from '../helpers/staged-server.ts'

const failurePolicy: Plan['failurePolicy'] = () => ({
  retry: { attempts: 3, minDelayMs: 100, maxDelayMs: 100, jitter: false, never: [] },
  deadLetter: false,
})

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
