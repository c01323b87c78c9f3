// Copies that overlapping filters bring: by examples, and over any filters and any broker through the real subscriber.
// A seed that fails runs alone with MQTTASGI_COPIES_SEED=<seed>.
import test from 'ava'
import { silentLog } from '../../lib/core/log.ts'
import type { RememberedFilter } from '../../lib/core/filter-memory.ts'
import type { Interest, Receiver } from '../../lib/core/receiver.ts'
import { matches } from '../../lib/core/topic.ts'
import { Copies, type CopyArrival } from '../../lib/server/copies.ts'
import { Newcomers } from '../../lib/server/newcomers.ts'
import { StaleFilters } from '../../lib/server/stale-filters.ts'
import { Roster } from '../../lib/server/roster.ts'
import { Subscriber } from '../../lib/server/subscriber.ts'
import { planSubscriptions, type Subscription } from '../../lib/server/subscriptions.ts'
import { unlimited } from '../../lib/transport/broker-limits.ts'
import { CopyingBroker, type Copy, type Publication } from '../helpers/copying-broker.ts'
import { SeededRandom } from '../helpers/seeded-random.ts'
import { interest } from '../helpers/interest.ts'
import { plainPlan } from '../helpers/plan.ts'

interface Known {
  readonly copies: Copies
  readonly id: (filter: string) => number
}

/** Copies that know these subscriptions, granted in a session of their own unless told otherwise. */
function knowing(interests: readonly Interest[], own = true): Known {
  const copies = new Copies()
  const subscriptions = planSubscriptions(interests)
  copies.update(subscriptions)
  ask(copies, subscriptions, own)
  return { copies, id: (filter) => identifierOf(subscriptions, filter) }
}

function ask(copies: Copies, subscriptions: readonly Subscription[], own: boolean): void {
  const requests = subscriptions.map(({ request }) => request)
  copies.asked(requests, false)
  if (own) copies.granted(requests.map(({ filter }) => filter))
}

function identifierOf(subscriptions: readonly Subscription[], filter: string): number {
  return subscriptions.find(({ request }) => request.filter === filter)?.request.identifier ?? 0
}

function verdict(
  { copies }: Known,
  identifiers: readonly number[],
  { retain = false, qos = 1, topic = 'a/b' }: Partial<CopyArrival> = {},
): string {
  const judged = copies.judge({ topic, subscriptionIdentifiers: identifiers, retain, qos })
  return judged.type !== 'run' ? judged.type : `run ${String(judged.share)}`
}

const overlapping = [interest('a/+'), interest('+/b')]

test('in a session that has just begun with these filters a copy is one before SUBACK has been looked at', (t) => {
  const copies = new Copies()
  const subscriptions = planSubscriptions(overlapping)
  copies.update(subscriptions)
  copies.asked(
    subscriptions.map(({ request }) => request),
    true,
  )
  const known = { copies, id: (filter: string) => identifierOf(subscriptions, filter) }
  t.is(verdict(known, [known.id('+/b')], { retain: true }), 'copy')
  t.is(verdict(known, [known.id('a/+')], { retain: true }), 'run undefined')
})

test('the copy of the first matching filter runs, the others are copies', (t) => {
  const known = knowing(overlapping)
  t.is(verdict(known, [known.id('a/+')]), 'run undefined')
  t.is(verdict(known, [known.id('+/b')]), 'copy')
  t.is(verdict(known, [known.id('+/b'), known.id('a/+')]), 'run undefined')
  t.is(verdict(known, [known.id('+/b')], { topic: 'c/b' }), 'run undefined')
})

test('without identifiers everything runs', (t) => {
  t.is(verdict(knowing(overlapping), []), 'run undefined')
})

test('an identifier of an older process runs until the first filter has proved itself', (t) => {
  const known = knowing(overlapping, false)
  t.is(verdict(known, [268_435_455]), 'run undefined')
  t.is(verdict(known, [268_435_455, known.id('+/b')]), 'run undefined')
  t.is(verdict(known, [known.id('a/+'), 268_435_455]), 'run undefined')
  t.is(verdict(known, [268_435_455]), 'copy')
  t.is(verdict(known, [268_435_455], { qos: 0 }), 'run undefined')
  t.is(verdict(known, [268_435_455], { topic: 'other' }), 'run undefined')
})

test('a filter that does not match by our rules, though the broker says so, runs its copy', (t) => {
  const known = knowing([interest('a/#')])
  t.is(verdict(known, [known.id('a/#')], { topic: 'other' }), 'run undefined')
})

test('in a session of an older process nothing is a copy before the first filter has proved itself', (t) => {
  const known = knowing(overlapping, false)
  t.is(verdict(known, [known.id('+/b')]), 'run undefined')
  t.is(verdict(known, [known.id('a/+')], { qos: 0 }), 'run undefined')
  // QoS 0 may overtake what waits in the session.
  t.is(verdict(known, [known.id('+/b')]), 'run undefined')
  t.is(verdict(known, [known.id('+/b')], { qos: 0 }), 'copy')
  t.is(verdict(known, [known.id('a/+')]), 'run undefined')
  t.is(verdict(known, [known.id('+/b')]), 'copy')
})

test('which copy runs does not change with the quality of service or the order of the routes', (t) => {
  const copies = new Copies()
  const [first, second] = planSubscriptions([interest('a/+', { qos: 0 }), interest('+/b', { qos: 0 })])
  const all = [first!, second!]
  copies.update(all)
  ask(copies, all, true)
  copies.update(planSubscriptions([interest('+/b'), interest('a/+', { qos: 0 })]))
  const known = { copies, id: (filter: string) => identifierOf(all, filter) }
  t.is(verdict(known, [known.id('+/b')]), 'copy')
  t.is(verdict(known, [known.id('a/+')]), 'run undefined')
})

test('a noLocal filter is first only among its like, for it does not bring what we publish', (t) => {
  const known = knowing([interest('a/+', { noLocal: true }), interest('+/b')])
  t.is(verdict(known, [known.id('+/b')]), 'run undefined')
  t.is(verdict(known, [known.id('a/+')]), 'copy')
  const alike = knowing([interest('a/+', { noLocal: true }), interest('+/b', { noLocal: true })])
  t.is(verdict(alike, [alike.id('+/b')]), 'copy')
})

test('a younger filter is no first one: what was queued before it comes without it', (t) => {
  const copies = new Copies()
  const before = planSubscriptions([interest('+/b')])
  copies.update(before)
  ask(copies, before, true)
  const after = planSubscriptions(overlapping)
  copies.update(after)
  ask(copies, after.slice(0, 1), true)
  const known: Known = { copies, id: (filter) => identifierOf(after, filter) }
  t.is(verdict(known, [known.id('+/b')]), 'run undefined')
  t.is(verdict(known, [known.id('a/+')]), 'copy')
  // Asked for once more, with another quality of service, it is as old as it was.
  ask(copies, after.slice(1), true)
  t.is(verdict(known, [known.id('+/b')]), 'run undefined')
  // Taken back and asked for again it is young.
  copies.update(after.slice(0, 1))
  copies.update(after)
  ask(copies, after.slice(1), true)
  t.is(verdict(known, [known.id('a/+')]), 'run undefined')
  t.is(verdict(known, [known.id('+/b')]), 'copy')
})

test('a younger filter that must be first makes copies only of what came after it', (t) => {
  const copies = new Copies()
  const subscriptions = planSubscriptions([interest('a/+', { noLocal: true }), interest('+/b')])
  copies.update(subscriptions)
  ask(copies, subscriptions.slice(0, 1), true)
  ask(copies, subscriptions.slice(1), true)
  const known = { copies, id: (filter: string) => identifierOf(subscriptions, filter) }
  t.is(verdict(known, [known.id('a/+')]), 'run undefined')
  t.is(verdict(known, [known.id('+/b')]), 'run undefined')
  t.is(verdict(known, [known.id('a/+')]), 'copy')
})

test('what a superset brings beyond the routes is surplus', (t) => {
  const copies = new Copies()
  copies.update(planSubscriptions(overlapping, { superset: true }))
  const known = { copies, id: () => 0 }
  t.is(verdict(known, []), 'run undefined')
  t.is(verdict(known, [], { topic: 'c/d' }), 'surplus')
  // Of an older session's filter: that is another matter.
  t.is(verdict(known, [], { topic: 'c' }), 'run undefined')
})

test('each group runs its own copy, and so do we', (t) => {
  const known = knowing([interest('a/+', { share: 'g' }), interest('+/b', { share: 'g' }), interest('a/#')])
  t.is(verdict(known, [known.id('$share/g/a/+')]), 'run g')
  t.is(verdict(known, [known.id('$share/g/+/b')]), 'copy')
  t.is(verdict(known, [known.id('a/#')]), 'run undefined')
  t.is(verdict(known, [known.id('a/#'), known.id('$share/g/a/+')]), 'run null')
  t.is(verdict(known, []), 'run null')
  t.is(verdict(known, [], { topic: 'c/b' }), 'run g')
  t.is(verdict(known, [], { topic: 'a/b/c' }), 'run undefined')
})

test('one packet for us and a group runs for whom it is the first, or the only, one', (t) => {
  const shared = [interest('a/+', { share: 'g' }), interest('+/b', { share: 'g' })]
  const known = knowing([...overlapping, ...shared], false)
  t.is(verdict(known, [known.id('a/+')]), 'run undefined')
  // A copy for us, and the only one we know of for the group.
  t.is(verdict(known, [known.id('+/b'), known.id('$share/g/+/b')]), 'run g')
})

test('a retained message runs for a filter that is newer than the first, and for one that asks where the first does not', (t) => {
  const copies = new Copies()
  const [first, second] = [interest('a/+'), interest('+/b')]
  const all = planSubscriptions([first, second])
  copies.update(all)
  ask(copies, all.slice(0, 1), true)
  ask(copies, all.slice(1), true)
  const known: Known = { copies, id: (filter) => identifierOf(all, filter) }
  t.is(verdict(known, [known.id('+/b')], { retain: true }), 'run undefined')
  t.is(verdict(known, [known.id('+/b')]), 'copy')
  const together = knowing([first, second])
  t.is(verdict(together, [together.id('+/b')], { retain: true }), 'copy')
  const never = knowing([interest('a/+', { retainHandling: 2 }), second])
  t.is(verdict(never, [never.id('+/b')], { retain: true }), 'run undefined')
  const neither = knowing([interest('a/+', { retainHandling: 2 }), interest('+/b', { retainHandling: 2 })])
  t.is(verdict(neither, [neither.id('+/b')], { retain: true }), 'copy')
})

const FILTERS = ['a/+', 'a/#', 'a/b', '+/b', '#', '+/+', 'a/c', '+/c/#']
const TOPICS = ['a/b', 'a/c', 'c/b', 'a', 'a/b/c', 'd/c/e']

interface Run {
  readonly share: string | null | undefined
  readonly qos: number
}

/** One process with its subscriptions, and a broker that sends copies as it likes. */
class World {
  readonly #random: SeededRandom
  readonly #broker: CopyingBroker
  readonly #runs = new Map<Publication, Run[]>()
  /** Publications that were sent, or arrived, while subscriptions were about to change. */
  readonly #unsteady = new Set<Publication>()
  /** Publications of which a copy arrived when no route of our own matched any more. */
  readonly #unwanted = new Set<Publication>()
  /** The quality of service it must run with. */
  readonly #leastQos = new Map<Publication, number>()
  readonly #listeners = new Set<() => void>()
  readonly #withShares: boolean
  #takenOver = false
  /** What outlives a process of what it holds. */
  #remembered: readonly RememberedFilter[] = []
  #process = 0
  #changes = 0
  #settledAt = 0
  #interests: Interest[] = []
  /** What it was before the changes that are under way. */
  #before: Interest[][] = []
  #copies = new Copies()
  #subscriber: Subscriber | undefined = undefined

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
    this.#broker = new CopyingBroker(this.#random)
    this.#broker.deliver = (copy) => this.#arrived(copy)
    this.#withShares = this.#random.chance(0.4)
    const count = 1 + this.#random.below(5)
    for (let i = 0; i < count; i++) this.#add()
  }

  async run(): Promise<void> {
    await this.#start(false)
    for (let i = 0; i < 60; i++) await this.#step()
    while (this.#process < 4 && this.#random.chance(0.4)) {
      // Another process takes the session over, with other filters perhaps, and what waits in it.
      for (const publication of this.#broker.publications) this.#unsteady.add(publication)
      while (this.#broker.fast.length > 0) this.#broker.fast.shift()?.()
      this.#change()
      this.#takenOver = true
      await this.#start(true)
      for (let i = 0; i < 40; i++) await this.#step()
    }
    await this.#quiet()
    this.#check()
  }

  async #step(): Promise<void> {
    const choice = this.#random.below(100)
    if (choice < 45) this.#publish()
    else if (choice < 93) this.#broker[this.#random.chance(0.5) ? 'fast' : 'slow'].shift()?.()
    else if (choice < 95) this.#changeUnderWay()
    else if (choice < 97) await this.#quiet()
    await turn()
  }

  async #start(sessionPresent: boolean): Promise<void> {
    this.#copies = new Copies()
    this.#listeners.clear()
    this.#subscriber?.disconnected()
    // Changes that were under way are the next process's, from its start on.
    this.#settledAt = this.#changes
    const number = ++this.#process
    // What an older process would still ask for goes nowhere: its connection has ended.
    const asked = <T>(ask: () => Promise<T>): Promise<T> =>
      number === this.#process ? ask() : Promise.reject(new Error('The connection has ended.'))
    this.#subscriber = new Subscriber({
      broker: {
        subscribe: (requests) => asked(() => this.#broker.subscribe(requests)),
        unsubscribe: (filters) => asked(() => this.#broker.unsubscribe(filters)),
      },
      roster: new Roster([this.#receiver()]),
      newcomers: new Newcomers({ now: () => 0, holdsRetained: () => false }),
      copies: this.#copies,
      log: silentLog,
      stale: this.#stale(number),
    })
    if (!sessionPresent) this.#broker.subscriptions.clear()
    this.#subscriber.connected({
      sessionPresent,
      protocolVersion: 5,
      receiveMaximum: 10,
      maximumPacketSize: undefined,
      subscriptionIdentifiers: true,
      sharedSubscriptions: true,
      limits: unlimited,
    })
    if (!sessionPresent) await this.#quiet()
  }

  // What an older process still writes goes nowhere.
  #stale(number: number): StaleFilters {
    const remember = async (filters: readonly RememberedFilter[]): Promise<void> => {
      for (let i = this.#random.below(6); i > 0; i--) await Promise.resolve()
      if (number === this.#process) this.#remembered = filters
    }
    const memory = { recall: () => Promise.resolve(this.#remembered), remember }
    return new StaleFilters({
      recalled: { memory, left: this.#remembered },
      log: silentLog,
      now: () => 0,
      counters: { stale: 0 },
    })
  }

  #receiver(): Receiver {
    return {
      id: 'application',
      interests: () => this.#interests,
      onInterests: (listener) => {
        this.#listeners.add(listener)
        return () => this.#listeners.delete(listener)
      },
      plan: () => plainPlan,
      receive: () => ({ type: 'done', handled: true }),
      connected: () => Promise.resolve(),
      disconnected: () => Promise.resolve(),
    }
  }

  #publish(): void {
    const topic = this.#random.pick(TOPICS) ?? ''
    const qos = this.#random.chance(0.7) ? 1 : 0
    const publication = this.#broker.publish(topic, qos)
    this.#leastQos.set(publication, Math.min(qos, this.#wantedQos(topic)))
    if (!this.#isSteady()) this.#unsteady.add(publication)
  }

  // In a session that was taken over, copies run until the first filter has proved itself.
  #isSteady(): boolean {
    return !this.#takenOver && this.#isSettled
  }

  get #isSettled(): boolean {
    return this.#settledAt === this.#changes
  }

  #changeUnderWay(): void {
    // What is on its way was sent for the filters of now.
    for (const publication of this.#broker.publications) this.#unsteady.add(publication)
    this.#before = this.#isSettled ? [[...this.#interests]] : [...this.#before, [...this.#interests]]
    this.#change()
    const at = ++this.#changes
    for (const listener of this.#listeners) listener()
    void this.#subscriber?.ready().then(() => {
      this.#settledAt = Math.max(at, this.#settledAt)
    })
  }

  #change(): void {
    if (this.#random.chance(0.7)) this.#add()
    else this.#interests.splice(this.#random.below(this.#interests.length), 1)
    if (this.#interests.length === 0) this.#add()
  }

  #add(): void {
    const filter = this.#random.pick(FILTERS) ?? ''
    const share = this.#withShares && this.#random.chance(0.5) ? 'g' : undefined
    // One filter has one set of options, but not each the same: where they differ nothing is merged.
    const retainAsPublished = filter.length % 2 === 0
    const qos = this.#random.chance(0.7) ? 1 : 0
    const at = this.#random.below(this.#interests.length + 1)
    this.#interests.splice(at, 0, interest(filter, { share, retainAsPublished, qos }))
  }

  async #quiet(): Promise<void> {
    for (let i = 0; i < 1_000; i++) {
      await turn()
      if (this.#broker.fast.length + this.#broker.slow.length === 0 && this.#isSettled) return
      ;(this.#broker.fast.shift() ?? this.#broker.slow.shift())?.()
    }
    throw new Error('It never becomes quiet.')
  }

  #arrived({ identifiers, publication, qos }: Copy): void {
    const { topic } = publication
    const verdict = this.#copies.judge({ topic, subscriptionIdentifiers: identifiers, retain: false, qos })
    if (!this.#isSteady()) this.#unsteady.add(publication)
    // Until the change is through nobody here can see whether it counts already.
    const states = this.#isSettled ? [this.#interests] : [...this.#before, this.#interests]
    const isWanted = (interests: readonly Interest[]): boolean =>
      interests.some(({ filter, share }) => share === undefined && matches(filter, topic))
    if (!states.every(isWanted)) this.#unwanted.add(publication)
    if (verdict.type !== 'run') return
    const runs = this.#runs.get(publication)
    if (runs === undefined) this.#runs.set(publication, [{ share: verdict.share, qos }])
    else runs.push({ share: verdict.share, qos })
  }

  #check(): void {
    for (const publication of this.#broker.publications) {
      const runs = this.#runs.get(publication) ?? []
      this.#checkOwn(publication, runs)
      for (const [group, filters] of publication.groups) this.#checkGroup(publication, runs, group, filters)
    }
  }

  #checkOwn(publication: Publication, runs: readonly Run[]): void {
    const own = runs.filter(({ share }) => share === undefined || share === null)
    const what = `${publication.number} on ${publication.topic}`
    if (publication.ownQos === undefined || this.#unwanted.has(publication)) return
    if (own.length === 0) throw new Error(`${what} was sent, and no chain ran`)
    if (this.#unsteady.has(publication)) return
    if (own.length > 1) throw new Error(`${what} ran ${own.length} chains`)
    // More than that is by chance: a filter may have been raised for another's sake.
    const least = this.#leastQos.get(publication) ?? 0
    if ((own[0]?.qos ?? 0) < least) throw new Error(`${what} ran with QoS ${own[0]?.qos} only`)
  }

  #wantedQos(topic: string): number {
    const wanted = this.#interests.filter(
      ({ filter, share }) => share === undefined && matches(filter, topic),
    )
    return Math.max(0, ...wanted.map(({ qos }) => qos))
  }

  #checkGroup(
    publication: Publication,
    runs: readonly Run[],
    group: string,
    filters: readonly string[],
  ): void {
    const ours = runs.filter(({ share }) => share === group || share === null)
    const what = `${publication.number} on ${publication.topic} for group ${group} (${filters.join()})`
    if (this.#unsteady.has(publication)) return
    // What went to another member for another filter runs there.
    if (!this.#broker.members && ours.length === 0) throw new Error(`${what} was sent, and no chain ran`)
    if (ours.length > 1) throw new Error(`${what} ran ${ours.length} chains`)
  }
}

async function turn(): Promise<void> {
  for (let i = 0; i < 12; i++) await Promise.resolve()
}

test('over any filters, changes and brokers the chain runs for each publication, and once where nothing changes', async (t) => {
  const one = process.env['MQTTASGI_COPIES_SEED']
  for (let i = 0; i < (one === undefined ? 1_000 : 1); i++) {
    const seed = one === undefined ? i : Number(one)
    try {
      await new World(seed).run()
    } catch (error) {
      t.fail(`MQTTASGI_COPIES_SEED=${seed}: ${error instanceof Error ? (error.stack ?? '') : String(error)}`)
      return
    }
  }
  t.pass()
})

function arriving(subscriptionIdentifiers: readonly number[]): CopyArrival {
  return { topic: 'a/b', qos: 1, retain: false, subscriptionIdentifiers }
}

test('without identifiers there is nothing to tell copies apart by', (t) => {
  const copies = new Copies()
  const bare: Subscription[] = []
  for (const one of planSubscriptions([interest('a/+'), interest('a/#')]))
    bare.push({ ...one, request: { ...one.request, identifier: undefined } })
  copies.update(bare)
  copies.update(bare)
  t.deepEqual(copies.judge(arriving([])), { type: 'run', share: undefined })
})

test('of what was wanted once the youngest are remembered', (t) => {
  const many = Array.from({ length: 10_001 }, (_, at) => interest(`f/${at}`))
  const { copies, id } = knowing([...many, interest('a/+')])
  const later = planSubscriptions([interest('a/#')])
  copies.update(later)
  // One of an older filter of ours that is still remembered may be the only one that comes.
  t.is(copies.judge(arriving([id('a/+')])).type, 'run')
})

test('a retained message of a filter that was never asked for is as old as that of any other', (t) => {
  const copies = new Copies()
  const subscriptions = planSubscriptions([interest('a/+'), interest('+/b')])
  copies.update(subscriptions)
  copies.granted(subscriptions.map(({ request }) => request.filter))
  const retained = { ...arriving([identifierOf(subscriptions, '+/b')]), retain: true }
  t.is(copies.judge(retained).type, 'copy')
})
