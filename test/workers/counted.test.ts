// What a worker sees itself is counted by its server, also where it runs in a thread.
import test from 'ava'
import { mqttasgi } from '../../lib/index.ts'
import { crewedServer } from '../helpers/crewed-server.ts'
import { threadStage } from '../helpers/thread-stage.ts'
import { hand } from '../helpers/worker-place.ts'
import { within } from '../integration/tally.ts'

const application = new URL('programs/applications.ts#counted', import.meta.url)

for (const thread of [false, true]) {
  test(`channel events and refused publications of a worker ${thread ? 'in a thread' : 'in this thread'} are counted`, async (t) => {
    const { log, server, transport } = await crewedServer(t, mqttasgi(), {
      workers: [{ id: 'counted', application: `${application.pathname}${application.hash}`, thread }],
      channels: { prefix: `counted-${thread}` },
      deadLetter: { store: 'none' },
    })
    await server.ready()
    for (const type of ['unknown', 'good', 'bad']) await server.channels.groupSend('counted', { type })
    await log.said(/"bad" failed/)
    t.like(server.counters, { eventsHandled: 1, eventsFailed: 1, eventsDropped: 1 })
    transport.deliver('fast')
    await log.said(/all were tried/)
    t.like(server.counters, { loops: 3, published: 2 })
  })
}

test('what a thread says it counts must be one of what receivers count', async (t) => {
  const counted: string[] = []
  const { thread } = await threadStage(t, {
    application: application.pathname + '#forging',
    identity: { countEvent: (counter) => void counted.push(counter) },
  })
  void hand(thread.receiver, 'forge', 'eventsDropped')
  void hand(thread.receiver, 'forge', 'handled')
  const ended = await within(10_000, 'the end of the thread', thread.ended)
  t.like(ended, { code: 'ERR_WORKER_CRASHED' })
  t.regex(ended?.message ?? '', /expected eventsHandled, .*, loops as what it counts, got "handled"/)
  t.deepEqual(counted, ['eventsDropped'])
})
