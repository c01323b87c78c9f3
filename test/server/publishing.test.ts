// Publications of a whole server: whatever becomes of its connections, each promise settles once.
import test from 'ava'
import * as fc from 'fast-check'
import { mqttasgi } from '../../lib/core/application.ts'
import type { MqttasgiError } from '../../lib/core/errors.ts'
import type { QoS } from '../../lib/core/message.ts'
import { settled } from '../helpers/fake-clock.ts'
import { MemoryOutboxStore } from '../helpers/memory-outbox-store.ts'
import { stageServer } from '../helpers/staged-server.ts'

type Event =
  | { readonly type: 'publish'; readonly qos: QoS; readonly until: 'answered' | 'stored' }
  | { readonly type: 'hold' | 'answer' | 'lose' | 'wait' | 'refuse' | 'cut' }

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('publish' as const),
      qos: fc.constantFrom<QoS>(0, 1, 1, 2),
      until: fc.constantFrom<'answered' | 'stored'>('answered', 'stored'),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constantFrom('hold', 'answer', 'lose', 'wait', 'refuse', 'cut') }),
  },
)

/** What a publication may end in here. */
const known = new Set([
  'ok',
  'stored',
  'ERR_PUBLISH_REFUSED',
  'ERR_NOT_CONNECTED',
  'ERR_CONNECTION_CLOSED',
  'ERR_STOPPED',
  'ERR_PUBLISH_INVALID',
])

for (const isDurable of [false, true]) {
  test(`under any order of loss, refusal and stop, publish() settles once (${isDurable ? 'on disk' : 'in memory'})`, async (t) => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 40 }), async (events) => {
        const store = new MemoryOutboxStore()
        const durableOutbox = isDurable ? { store, left: [] } : undefined
        const { clock, server, transport } = stageServer(
          t,
          mqttasgi().topic('a', () => {}),
          { durableOutbox },
        )
        await server.start()
        const ends: string[][] = []
        const asked: { readonly qos: QoS }[] = []
        const publish = ({ qos, until }: Event & { readonly type: 'publish' }): void => {
          const end: string[] = []
          ends.push(end)
          asked.push({ qos })
          void server.publish('a', `${ends.length}`, { qos, until }).then(
            ({ stored }) => end.push(stored === true ? 'stored' : 'ok'),
            (error: MqttasgiError) => end.push(error.code),
          )
        }
        for (const one of events) {
          if (one.type === 'publish') publish(one)
          else if (one.type === 'hold') transport.holdAnswers = true
          else if (one.type === 'lose') transport.lose()
          else if (one.type === 'wait') clock.advance(100)
          else if (one.type === 'refuse') {
            transport.failAt('publish', transport.count('publish') + 1, { type: 'refuse', reasonCode: 0x87 })
          } else if (one.type === 'cut') {
            transport.failAt('publish', transport.count('publish') + 1, { type: 'lose' })
          } else {
            transport.holdAnswers = false
            transport.answer()
          }
          if (one.type !== 'publish') await settled()
        }
        const stopping = server.stop()
        await settled()
        clock.advance(2_000)
        const { clean } = await stopping
        await settled()
        for (const end of ends) {
          t.is(end.length, 1)
          t.true(known.has(end[0] ?? ''), end[0])
        }
        const left = ends.filter(([end], i) => asked[i]?.qos !== 0 && /STOPPED|CLOSED/.test(end ?? '')).length
        if (isDurable) {
          t.true(clean, 'what has no answer is on disk')
          t.true(store.disk.size >= left)
          t.true(store.isClosed)
        } else t.is(store.disk.size, 0)
        t.is(clock.timers, 0)
      }),
      { numRuns: 100 },
    )
  })
}
