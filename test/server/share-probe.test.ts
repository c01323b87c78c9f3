// Whether a broker that grants shared subscriptions delivers to them: found out before anybody relies on it.
import test from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import { shareFault, ShareProbe, type ShareVerdict } from '../../lib/server/share-probe.ts'
import type { SubscriptionRequest } from '../../lib/transport/transport.ts'
import { FakeClock, settled } from '../helpers/fake-clock.ts'
import { stageServer } from '../helpers/staged-server.ts'

/** What a broker does. */
interface Habits {
  readonly share: 'works' | 'pretends' | 'silent' | 'refuses' | 'loses'
  readonly delivers: boolean
}

async function probed(habits: Habits): Promise<{ verdict: ShareVerdict; calls: string[]; timers: number }> {
  const clock = new FakeClock()
  const calls: string[] = []
  const held = new Set<string>()
  const isShared = (filter: string): boolean => filter.startsWith('$share/')
  const probe: ShareProbe = new ShareProbe({
    clock,
    topic: 'probe/x',
    broker: {
      subscribe: async (requests: readonly SubscriptionRequest[]) => {
        const filter = requests[0]?.filter ?? ''
        calls.push(`subscribe ${filter}`)
        if (isShared(filter) && habits.share === 'silent') return new Promise(() => {})
        if (isShared(filter) && habits.share === 'refuses') return [0x80]
        if (habits.share === 'loses') throw new Error('The connection ended.')
        held.add(filter)
        return [0]
      },
      unsubscribe: (filters) => {
        calls.push(`unsubscribe ${filters.join()}`)
        for (const filter of filters) held.delete(filter)
        return Promise.resolve()
      },
      publish: (topic, payload) => {
        calls.push(`publish ${topic}`)
        for (const filter of held) {
          if (!habits.delivers || (isShared(filter) && habits.share === 'pretends')) continue
          probe.takes({ topic, payload: Buffer.from('of an older run') })
          probe.takes({ topic, payload })
        }
        return Promise.resolve({ reasonCode: 0 })
      },
    },
  })
  const verdicts: ShareVerdict[] = []
  void probe.run().then((found) => verdicts.push(found))
  for (let i = 0; i < 10 && verdicts.length === 0; i++) {
    await settled()
    clock.advance(2_000)
    await settled()
  }
  return { verdict: verdicts[0] ?? 'unsure', calls, timers: clock.timers }
}

test('a broker that delivers works, and nothing is left behind', async (t) => {
  const { verdict, calls, timers } = await probed({ share: 'works', delivers: true })
  t.is(verdict, 'works')
  const filter = '$share/mqttasgi-probe/probe/x'
  t.deepEqual(calls, [`subscribe ${filter}`, 'publish probe/x', `unsubscribe ${filter}`])
  t.is(timers, 0)
})

test('one that delivers to a plain subscription only pretends', async (t) => {
  const { verdict, calls } = await probed({ share: 'pretends', delivers: true })
  t.is(verdict, 'pretends')
  t.deepEqual(calls.slice(3), ['subscribe probe/x', 'publish probe/x', 'unsubscribe probe/x'])
})

for (const [share, delivers, expected] of [
  ['works', false, 'unsure'],
  ['silent', true, 'unanswered'],
  ['refuses', true, 'refused'],
  ['loses', true, 'lost'],
] as const) {
  test(`a broker that ${share} and ${delivers ? 'delivers' : 'delivers nothing'} is ${expected}`, async (t) => {
    t.is((await probed({ share, delivers })).verdict, expected)
  })
}

test('a connection that ends over it twice was no chance, and one that ends over the publication says nothing', async (t) => {
  const lose = (): Promise<never> => Promise.reject(new Error('The connection ended.'))
  const broker = { subscribe: lose, unsubscribe: async () => {}, publish: lose }
  const closing = new ShareProbe({ clock: new FakeClock(), topic: 'probe/x', broker })
  t.is(await closing.run(), 'lost')
  t.is(await closing.run(), 'closed')
  const forbidden = { ...broker, subscribe: async () => [0] }
  const unsure = new ShareProbe({ clock: new FakeClock(), topic: 'probe/x', broker: forbidden })
  t.is(await unsure.run(), 'unsure')
})

test('a message on another topic is not the probe’s', (t) => {
  const broker = {
    subscribe: async () => [],
    unsubscribe: async () => {},
    publish: async () => ({ reasonCode: 0 }),
  }
  const probe = new ShareProbe({ clock: new FakeClock(), topic: 'probe/x', broker })
  t.false(probe.takes({ topic: 'a', payload: Buffer.of() }))
  t.true(probe.takes({ topic: 'probe/x', payload: Buffer.of() }))
})

test('only what can not be used is a fault', (t) => {
  t.regex(shareFault('pretends') ?? '', /delivers nothing/)
  t.regex(shareFault('unanswered') ?? '', /does not answer/)
  t.regex(shareFault('closed') ?? '', /ends the connection/)
  t.deepEqual((['works', 'refused', 'unsure'] as const).map(shareFault), [undefined, undefined, undefined])
})

const policy = { retries: 0, protocolVersion: 4, backoff: () => 0 } as const

test('over 3.1.1 a server with shared routes does not start on a broker that pretends', async (t) => {
  const app = mqttasgi()
  app.topic('$share/g/a/+', () => {})
  app.onUnmatched((ctx) => t.fail(ctx.topic))
  const { server, transport, clock } = stageServer(t, app, { policy, shareProbeTopic: 'probe/x' })
  const starting = t.throwsAsync(server.start(), {
    code: 'ERR_SHARED_UNSUPPORTED',
    message: /"\$share\/g\/a\/\+" would never/,
  })
  let published = 0
  for (let i = 0; i < 200 && server.state !== 'closed'; i++) {
    await settled()
    // It delivers what comes over a plain subscription, and needs it to be acknowledged.
    if (transport.published.length > published) {
      const { payload, topic } = transport.published[published++]!
      if (transport.subscriptions.has(topic)) transport.deliver(topic, payload)
    }
    clock.advance(250)
  }
  await starting
  t.false(transport.subscriptions.has('$share/g/a/+'))
  t.is(server.counters.unmatched, 0)
  t.is(transport.acknowledged.length, 1)
})

test('over 3.1.1 a broker that delivers is tried once, and one that can not be tried is warned of', async (t) => {
  for (const delivers of [true, false]) {
    const app = mqttasgi()
    app.topic('$share/g/a/+', () => {})
    const { server, transport, clock, lines } = stageServer(t, app, { policy, shareProbeTopic: 'probe/x' })
    const starting = server.start()
    let published = 0
    for (let i = 0; i < 60; i++) {
      await settled()
      if (transport.published.length > published) {
        const { payload, topic } = transport.published[published++]!
        if (delivers) transport.deliver(topic, payload, { qos: 0 })
      }
      clock.advance(250)
    }
    await starting
    t.true(transport.subscriptions.has('$share/g/a/+'))
    t.is(lines.filter((line) => line.includes('could not be tried')).length, delivers ? 0 : 1)
    const before = transport.published.length
    app.topic('$share/g/b/+', () => {})
    await server.ready()
    t.is(transport.published.length, before)
  }
})

test('over MQTT 5, and without shared routes, nothing is tried', async (t) => {
  const shared = mqttasgi()
  shared.topic('$share/g/a/+', () => {})
  const five = stageServer(t, shared, { shareProbeTopic: 'probe/x' })
  await five.server.start()
  const plain = mqttasgi()
  plain.topic('a/+', () => {})
  const four = stageServer(t, plain, { policy, shareProbeTopic: 'probe/x' })
  await four.server.start()
  t.is(five.transport.published.length + four.transport.published.length, 0)
})
