// What one seed draws: the broker's habits, the routes of each receiver, and which accidents there are.
import type { FailurePolicy, Order, Plan, RetryPolicy, SheddingPolicy } from '../../lib/core/receiver.ts'
import type { SeededRandom } from '../helpers/seeded-random.ts'
import type { Habits } from './broker.ts'

/** Errors that are never tried again. */
export class NeverError extends Error {}

/** The store of the dead letters: none · well · shaky: fails now and then · broken: takes nothing, ever. */
export type StoreMood = 'none' | 'well' | 'shaky' | 'broken'

export interface Scenario {
  readonly habits: Habits
  readonly maxInFlight: number
  readonly topics: number
  /** How many payloads there are; with few, messages are equal to each other. */
  readonly payloads: number | undefined
  /** For each receiver its plan for each topic. */
  readonly receivers: readonly (readonly Plan[])[]
  readonly store: StoreMood
  /** How likely a handler does not just do its work. */
  readonly trouble: number
  readonly kills: boolean
  readonly ledger: boolean
  readonly poison: boolean
  /** How likely a message has QoS 0 or 2. */
  readonly rare: { readonly zero: number; readonly two: number }
}

const NO_RETRY: RetryPolicy = { attempts: 1, minDelayMs: 0, maxDelayMs: 0, jitter: false, never: [] }

export function drawScenario(random: SeededRandom): Scenario {
  const habits = {
    renumbers: random.chance(0.4),
    dropsDup: random.chance(0.4),
    late: random.chance(0.2),
    ignoresWindow: random.chance(0.5),
    expires: random.chance(0.2),
  }
  const topics = 1 + random.below(4)
  // Of equal messages that come late nobody could tell which has expired.
  const isUnique = random.chance(0.7) || (habits.late && habits.expires)
  const payloads = isUnique ? undefined : 1 + random.below(3)
  // Where the broker does not say which messages it sends again, or sends them late, it can not be promised
  // that a process finds out what the one before it has died of.
  // What does not say that it was sent before, and comes late or behind too many others, looks like anything new.
  const canBeKnown = !habits.expires && !(habits.dropsDup && (habits.late || habits.ignoresWindow))
  const poison = isUnique && canBeKnown && random.chance(0.35)
  const sheds = isUnique && !poison && random.chance(0.3)
  const receivers = Array.from({ length: 1 + random.below(3) }, (_, at) =>
    drawReceiver(random, { at, topics, sheds }),
  )
  return {
    habits,
    maxInFlight: 1 + random.below(5),
    topics,
    payloads,
    receivers,
    store: random.pick(['none', 'well', 'well', 'shaky', 'shaky', 'broken'] as const) ?? 'well',
    trouble: random.chance(0.3) ? 0 : random.next() * 0.7,
    kills: random.chance(poison ? 0.3 : 0.6),
    ledger: poison || random.chance(0.4),
    poison,
    rare: {
      zero: isUnique && random.chance(0.3) ? 0.3 : 0,
      two: isUnique && random.chance(0.2) ? 0.3 : 0,
    },
  }
}

/** The lane in which a message runs; undefined where no order is kept. */
export function laneOf({ keyOf, order }: Plan, topic: string, payload: string): string | undefined {
  if (order === 'none') return undefined
  if (order === 'strict') return 'all'
  return order === 'key' && keyOf !== undefined && !payload.endsWith('!') ? keyFor(payload) : topic
}

interface ReceiverDraw {
  readonly at: number
  readonly topics: number
  readonly sheds: boolean
}

function drawReceiver(random: SeededRandom, { at, sheds, topics }: ReceiverDraw): readonly Plan[] {
  const isStrict = random.chance(0.08)
  const routes = Array.from({ length: 1 + random.below(2) }, (_, i) => {
    const name = `r${at}/${i}`
    return drawRoute(random, { name, isStrict, sheds: sheds && (i > 0 || random.chance(0.7)) })
  })
  return Array.from({ length: topics }, (_, topic) => routes[topic % routes.length]!)
}

interface RouteDraw {
  readonly name: string
  readonly isStrict: boolean
  readonly sheds: boolean
}

function drawRoute(random: SeededRandom, { isStrict, name, sheds }: RouteDraw): Plan {
  const order: Order = isStrict
    ? 'strict'
    : (random.pick(['topic', 'topic', 'key', 'none'] as const) ?? 'topic')
  const retry: RetryPolicy = {
    attempts: 1 + random.below(4),
    minDelayMs: random.pick([0, 10, 40]) ?? 0,
    maxDelayMs: random.pick([40, 200]) ?? 0,
    jitter: random.chance(0.5),
    never: random.chance(0.5) ? [NeverError] : [],
  }
  const policy: FailurePolicy = { retry, deadLetter: random.chance(0.7) }
  // Only a route that asks for it has its QoS 0 tried again, or kept.
  const once: FailurePolicy = {
    retry: random.chance(0.3) ? retry : NO_RETRY,
    deadLetter: random.chance(0.3),
  }
  return {
    routes: [name],
    order,
    keyOf: order === 'key' ? (message) => keyOrThrow(message.payload.toString()) : undefined,
    limits: random.chance(0.3) ? [{ name, most: 1 + random.below(2) }] : [],
    shedding: sheds ? drawShedding(random, name) : undefined,
    timeoutMs: random.chance(0.4) ? 50 : 0,
    holdMs: random.chance(0.6) ? 120 : 0,
    failurePolicy: (_route, qos) => (qos === 0 ? once : policy),
  }
}

function drawShedding(random: SeededRandom, name: string): SheddingPolicy {
  const time = random.below(4)
  return {
    name,
    overflow: random.pick(['drop-oldest', 'drop-newest', 'latest'] as const) ?? 'latest',
    maxWaiting: 1 + random.below(3),
    throttleMs: time === 0 ? 60 : 0,
    debounceMs: time === 1 ? 30 : 0,
  }
}

function keyOrThrow(payload: string): string {
  if (payload.endsWith('!')) throw new Error('no key in it')
  return keyFor(payload)
}

function keyFor(payload: string): string {
  return `k${payload.length % 2}${payload.at(-1)}`
}
