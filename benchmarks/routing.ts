// What does it cost to find the routes of a topic? Ours against Map.get, qlobber, find-my-way and mqtt-pattern in turn.
// node --import tsx benchmarks/routing.ts
import findMyWay from 'find-my-way'
import { exec } from 'mqtt-pattern'
import { Qlobber } from 'qlobber'
import { topicTree } from '../lib/core/topic-tree.ts'

interface Route {
  readonly filter: string
  /** A topic that it matches, with a device of its own each time. */
  topic(): string
}

interface Contender {
  readonly name: string
  /** How many topics a batch has: the slow ones get few. */
  readonly batch: number
  /** The answer is used, so that nothing is optimized away. */
  readonly match: (topic: string) => number
  /** The only topics it knows, one a route; the others get new ones each time. */
  readonly known?: readonly string[]
  readonly times: number[]
}

const SIZES = [10, 100, 1_000, 10_000]
const BATCHES = 40

let seed = 1
function random(below: number): number {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((seed / 2 ** 32) * below)
}

/** 70 % with one +, 15 % exact, 10 % with #, 5 % with two +, spread over tenants with 5 sites each. */
function makeRoutes(count: number, tenants: number): Route[] {
  const device = () => `device-${String(random(1_000_000)).padStart(8, '0')}`
  return Array.from({ length: count }, (_, i) => {
    const site = `plant/tenant${i % tenants}/site${Math.floor(i / tenants) % 5}`
    const metric = `metric${i % 97}`
    const exact = `${site}/${device()}/${metric}`
    const kind = random(100)
    if (kind < 70) return { filter: `${site}/+/${metric}`, topic: () => `${site}/${device()}/${metric}` }
    if (kind < 85) return { filter: exact, topic: () => exact }
    if (kind < 95) return { filter: `${site}/${metric}/#`, topic: () => `${site}/${metric}/${device()}` }
    return { filter: `${site}/+/+/${metric}`, topic: () => `${site}/${device()}/ch${random(9)}/${metric}` }
  })
}

/** Middleware for all and one for each tenant stands before the routes, so that five layers match. */
function withMiddleware(routes: readonly Route[], tenants: number): string[] {
  const perTenant = Array.from({ length: tenants }, (_, tenant) => `plant/tenant${tenant}/#`)
  return ['#', 'plant/#', '+/+/#', ...perTenant, ...routes.map((route) => route.filter)]
}

function contenders(filters: readonly string[], known: readonly string[]): Contender[] {
  const whole = new Map(known.map((topic, i) => [topic, i]))
  const tree = topicTree(filters.map((filter, value) => ({ filter, value })))
  const lobber = new Qlobber<number>({
    separator: '/',
    wildcard_one: '+',
    wildcard_some: '#',
    match_empty_levels: true,
  })
  for (const [i, filter] of filters.entries()) lobber.add(filter, i)
  const router = findMyWay()
  for (const filter of filters) {
    let names = 0
    const path = filter.replace('#', '*').replaceAll('+', () => `:p${names++}`)
    router.on('GET', `/${path}`, () => undefined)
  }
  return [
    {
      name: '(decoding the topic, taken off below)',
      batch: 2_000,
      match: (topic) => topic.length,
      times: [],
    },
    {
      name: 'Map.get of the whole topic',
      batch: 2_000,
      match: (topic) => whole.get(topic) ?? 0,
      known,
      times: [],
    },
    { name: 'mqttasgi', batch: 2_000, match: (topic) => tree.match(topic).length, times: [] },
    {
      name: 'qlobber, sorted',
      batch: 1_000,
      match: (topic) => lobber.match(topic).sort((a, b) => a - b).length,
      times: [],
    },
    {
      name: 'find-my-way (first match only)',
      batch: 1_000,
      match: (topic) => (router.find('GET', `/${topic}`) === null ? 0 : 1),
      times: [],
    },
    {
      name: 'mqtt-pattern, one by one',
      batch: Math.ceil(10_000 / filters.length),
      match: (topic) => filters.filter((filter) => exec(filter, topic) !== null).length,
      times: [],
    },
  ]
}

/** Small batches in turn, so that all suffer alike from what else the machine does. Nanoseconds a match. */
function measure(all: readonly Contender[], routes: readonly Route[]): void {
  let used = 0
  for (let batch = -BATCHES / 2; batch < BATCHES; batch++) {
    for (const { batch: count, match, known, times } of all) {
      // A new string each time, as from a socket: one that was looked up before knows its hash.
      const bytes = Array.from({ length: count }, () => {
        const i = random(routes.length)
        return Buffer.from(known?.[i] ?? routes[i]!.topic())
      })
      const began = process.hrtime.bigint()
      for (const topic of bytes) used += match(topic.toString('utf8'))
      const each = Number(process.hrtime.bigint() - began) / count
      if (batch >= 0) times.push(each)
    }
  }
  if (used < 0) throw new Error('unreachable')
}

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[times.length >> 1]!
}

function shown(ns: number): string {
  if (ns < 10_000) return `${ns.toFixed(0)} ns`
  return ns < 10_000_000 ? `${(ns / 1_000).toFixed(0)} µs` : `${(ns / 1_000_000).toFixed(1)} ms`
}

const rows = new Map<string, string[]>()
for (const size of SIZES) {
  const tenants = Math.max(1, Math.round(size / 50))
  const routes = makeRoutes(size, tenants)
  const filters = withMiddleware(routes, tenants)
  const all = contenders(
    filters,
    routes.map((route) => route.topic()),
  )
  measure(all, routes)
  const [decoding = 0, ...times] = all.map(({ times }) => median(times))
  for (const [i, ns] of [decoding, ...times.map((ns) => ns - decoding)].entries()) {
    const ratio = i < 1 ? '' : ` ${(ns / (times[0]! - decoding)).toFixed(i > 4 ? 0 : 1)}x`
    const { name } = all[i]!
    rows.set(name, [...(rows.get(name) ?? []), shown(ns) + ratio])
  }
}

console.log('Time a match and ratio to Map.get, by number of routes; new topics, five layers match.\n')
console.log(
  ['', ...SIZES.map((size) => String(size))]
    .map((text, i) => (i === 0 ? text.padEnd(40) : text.padStart(18)))
    .join(''),
)
for (const [name, cells] of rows)
  console.log(name.padEnd(40) + cells.map((cell) => cell.padStart(18)).join(''))
