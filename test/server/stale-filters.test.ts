// What an older process has left in the session is given up where that is sure, and counted where it still brings messages.
import test from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import type { FilterMemory, RecalledFilters, RememberedFilter } from '../../lib/core/filter-memory.ts'
import { MemoryTransport } from '../../lib/testing/memory-transport.ts'
import { settled } from '../helpers/fake-clock.ts'
import { stageServer } from '../helpers/staged-server.ts'

class Memory implements FilterMemory, RecalledFilters {
  readonly memory = this
  readonly left: readonly RememberedFilter[]
  filters: readonly RememberedFilter[]
  /** What was remembered, one line each. */
  readonly writes: string[] = []
  fails = false

  constructor(...filters: RememberedFilter[]) {
    this.filters = this.left = filters
  }

  async recall(): Promise<readonly RememberedFilter[]> {
    return this.filters
  }

  async remember(filters: readonly RememberedFilter[]): Promise<void> {
    if (this.fails) throw new Error('ENOSPC.')
    this.filters = filters
    this.writes.push(filters.map(({ filter, life = '', since }) => `${filter} ${since}${life}`).join(', '))
  }
}

const start = (filter: string): RememberedFilter => ({ filter, since: 'start' })
const later = (filter: string): RememberedFilter => ({ filter, since: 'later' })

function resumed(filters: readonly string[] = []): MemoryTransport {
  const transport = new MemoryTransport()
  transport.info = { ...transport.info, sessionPresent: true }
  for (const filter of filters) {
    const options = { noLocal: false, retainHandling: 0, retainAsPublished: false, identifier: 9 } as const
    transport.subscriptions.set(filter, { filter, qos: 1, ...options })
  }
  return transport
}

test('what an older release wanted at its start, and this one does not, is unsubscribed behind what is new', async (t) => {
  const app = mqttasgi()
  app.topic('a/b', () => {})
  const memory = new Memory(start('a/#'), start('a/b'), later('by/hand'))
  const transport = resumed(['a/#', 'a/b', 'by/hand'])
  const { server, lines } = stageServer(t, app, { transport, filterMemory: memory })
  await server.start()
  t.deepEqual(transport.calls, ['connect 5', 'subscribe a/b', 'unsubscribe a/#'])
  t.deepEqual([...transport.subscriptions.keys()], ['a/b', 'by/hand'])
  t.regex(lines.join('\n'), /still held "a\/#"/)
  t.deepEqual(memory.writes, ['a/# start1, by/hand later, a/b start', 'a/# ended1, by/hand later, a/b start'])
  // What came at run time is given up when somebody says so.
  await server.unsubscribe('by/hand')
  t.deepEqual([...transport.subscriptions.keys()], ['a/b'])
  t.is(memory.writes.at(-1), 'a/# ended1, by/hand ended1, a/b start')
  await server.unsubscribe('never/there')
})

test('a filter that an older process has given up is asked for under another identifier than it had', async (t) => {
  const identifierAfter = async (...filters: RememberedFilter[]): Promise<number | undefined> => {
    const app = mqttasgi()
    app.topic('a', () => {})
    const transport = resumed()
    const { server } = stageServer(t, app, { transport, filterMemory: new Memory(...filters) })
    await server.start()
    return transport.subscriptions.get('a')?.identifier
  }
  const first = await identifierAfter()
  t.is(await identifierAfter(start('a')), first)
  const second = await identifierAfter({ filter: 'a', since: 'ended', life: 1 })
  t.not(second, first)
  t.is(await identifierAfter({ filter: 'a', since: 'later', life: 1 }), second)
})

test('that a filter will have been given up is written down before the broker hears of it', async (t) => {
  const app = mqttasgi()
  app.topic('a', () => {})
  const memory = new Memory()
  const transport = resumed()
  const { server } = stageServer(t, app, { transport, filterMemory: memory })
  await server.start()
  await server.subscribe('b')
  transport.failAt('unsubscribe', 1, { type: 'refuse', reasonCode: 0x80 })
  await t.throwsAsync(server.unsubscribe('b'))
  t.is(memory.writes.at(-1), 'b start1, a start')
  await server.subscribe('b')
  t.is(memory.writes.at(-1), 'b later1, a start')
})

test('what may be held is written down before it is asked for', async (t) => {
  const app = mqttasgi()
  app.topic('a', () => {})
  const memory = new Memory()
  const transport = new MemoryTransport()
  transport.grant = ({ filter, qos }) => {
    t.true(
      memory.filters.some((one) => one.filter === filter),
      filter,
    )
    return qos
  }
  const { server } = stageServer(t, app, { transport, filterMemory: memory })
  await server.start()
  app.topic('b', () => {})
  await server.ready()
  await server.subscribe('c')
  t.deepEqual(memory.writes, ['a start', 'a start, b later', 'a start, b later, c later'])
  t.plan(5)
  t.is(server.counters.stale, 0)
})

test('in a new session there is nothing of an older process', async (t) => {
  const app = mqttasgi()
  app.topic('a', () => {})
  const memory = new Memory(start('old'))
  const { server, transport } = stageServer(t, app, { filterMemory: memory })
  await server.start()
  t.deepEqual(transport.calls, ['connect 5', 'subscribe a'])
  t.deepEqual(memory.writes, ['a start'])
})

test('what comes over an older filter is counted, goes to onUnmatched, and is said once a minute', async (t) => {
  const app = mqttasgi()
  const unmatched: string[] = []
  app.topic('a', () => {})
  app.onUnmatched((ctx) => void unmatched.push(ctx.topic))
  const transport = resumed()
  const { server, lines, clock } = stageServer(t, app, {
    transport,
    filterMemory: new Memory(later('old/+')),
  })
  await server.start()
  for (const topic of ['old/1', 'old/2', 'other']) transport.deliver(topic, '')
  transport.deliver('a', '')
  await settled()
  t.is(server.counters.stale, 3)
  t.deepEqual(unmatched, ['old/1', 'old/2', 'other'])
  const said = (): string[] => lines.filter((line) => line.includes('older process'))
  t.deepEqual(said(), [
    'warn: 1 message(s) came over a filter that an older process has left in the session, the last one on "old/1", most likely over "old/+". server.unsubscribe("old/+") ends it.',
  ])
  clock.advance(60_000)
  transport.deliver('other', '')
  await settled()
  t.regex(said()[1] ?? '', /^warn: 3 message\(s\).*"other"\. server\.unsubscribe\("filter"\) ends it/)
})

test('an identifier that nobody knows is of an older filter, though a route matches', async (t) => {
  const app = mqttasgi()
  app.topic('a/b', () => {})
  const transport = resumed()
  const { server, lines } = stageServer(t, app, { transport, filterMemory: new Memory(start('a/#')) })
  await server.start()
  const own = transport.subscriptions.get('a/b')?.identifier ?? 0
  transport.deliver('a/b', '1', { subscriptionIdentifiers: [own] })
  transport.deliver('a/b', '1', { subscriptionIdentifiers: [own + 1] })
  await settled()
  t.is(server.counters.stale, 1)
  t.is(server.counters.copies, 1)
  t.regex(
    lines.join('\n'),
    /most likely over "a\/#"\. It has been unsubscribed; what was waiting still comes\./,
  )
})

test('a filter of this process that was taken back is no older one', async (t) => {
  const app = mqttasgi()
  app.topic('a', () => {})
  const transport = resumed()
  const { server } = stageServer(t, app, { transport })
  await server.start()
  await server.subscribe('b')
  const identifier = transport.subscriptions.get('b')?.identifier ?? 0
  await server.unsubscribe('b')
  transport.deliver('b', '', { subscriptionIdentifiers: [identifier] })
  await settled()
  t.is(server.counters.stale, 0)
})

test('a store that fails is said once, and keeps nobody from starting', async (t) => {
  const app = mqttasgi()
  app.topic('a', () => {})
  const memory = new Memory()
  memory.fails = true
  const { server, lines } = stageServer(t, app, { filterMemory: memory, transport: resumed() })
  await server.start()
  app.topic('b', () => {})
  await server.ready()
  t.is(lines.filter((line) => line.includes('can not be remembered: ENOSPC.')).length, 1)
})

test('a broker that refuses to end an older filter is heard, and keeps nobody from starting', async (t) => {
  const app = mqttasgi()
  app.topic('a', () => {})
  const transport = resumed(['old'])
  transport.failAt('unsubscribe', 1, { type: 'refuse', reasonCode: 0x87 })
  const memory = new Memory(start('old'))
  const { server, lines } = stageServer(t, app, { transport, filterMemory: memory })
  await server.start()
  t.is(lines.filter((line) => line.startsWith('warn: The broker refused to end old')).length, 1)
  // The next process tries again.
  t.true(memory.writes.at(-1)?.includes('old start'))
})
