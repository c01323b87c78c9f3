// The outbox under any order of events, on a disk that fails, with restarts in between: what it promises holds throughout.
import test, { type ExecutionContext } from 'ava'
import * as fc from 'fast-check'
import { MqttasgiError, type ErrorCode } from '../../lib/core/errors.ts'
import type { PublishOptions } from '../../lib/core/message.ts'
import type { OutboxPolicy } from '../../lib/server/outbox-policy.ts'
import { noLimits } from '../../lib/transport/outgoing-publish.ts'
import { settled } from '../helpers/fake-clock.ts'
import { MemoryOutboxStore, type MemoryDisk } from '../helpers/memory-outbox-store.ts'
import { stageOutbox, STOPPED, type OutboxStage, type Sent } from '../helpers/outbox-stage.ts'

type Step =
  | { readonly type: 'publish'; readonly topic: string; readonly options: PublishOptions }
  | { readonly type: 'answer' | 'refuse' | 'bounce'; readonly nth: number }
  | { readonly type: 'online'; readonly window: number; readonly maximumPacketSize: number | undefined }
  | { readonly type: 'offline' | 'sync' }
  | { readonly type: 'wait'; readonly ms: number }
  | { readonly type: 'crash'; readonly applied: number }
  | DiskStep

/** What the disk does from now on. */
interface DiskStep {
  readonly type: 'disk'
  readonly fails: 'nothing' | 'keep' | 'remove' | 'both'
  readonly isInDoubt: boolean
}

const options: fc.Arbitrary<PublishOptions> = fc.oneof(
  { weight: 1, arbitrary: fc.constant<PublishOptions>({ qos: 0 }) },
  {
    weight: 4,
    arbitrary: fc.record({
      qos: fc.constantFrom<1 | 2>(1, 1, 2),
      until: fc.constantFrom<'answered' | 'stored'>('answered', 'stored'),
      properties: fc.constantFrom({}, {}, { messageExpiryInterval: 3 }),
    }),
  },
)

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('publish' as const),
      topic: fc.constantFrom('a', 'b', 'latest'),
      options,
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ type: fc.constantFrom('answer', 'answer', 'refuse', 'bounce'), nth: fc.nat(3) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('online' as const),
      window: fc.integer({ min: 1, max: 3 }),
      maximumPacketSize: fc.constantFrom(undefined, undefined, undefined, 5),
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constantFrom('offline', 'sync', 'sync') }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.nat(2_000) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('crash' as const), applied: fc.nat(5) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('disk' as const),
      fails: fc.constantFrom<DiskStep['fails']>('nothing', 'keep', 'remove', 'both', 'both'),
      isInDoubt: fc.boolean(),
    }),
  },
)

const policy = fc.record({
  maxMessages: fc.integer({ min: 2, max: 6 }),
  maxBytes: fc.constantFrom(60, 1_000),
  maxAgeMs: fc.constantFrom(Number.POSITIVE_INFINITY, 2_500),
  whenFull: fc.constantFrom<'reject' | 'drop-oldest'>('reject', 'drop-oldest'),
  qos0: fc.constantFrom<'reject' | 'keep'>('reject', 'keep'),
  latest: fc.constantFrom<readonly string[]>([], ['latest']),
})

/** What became of one publication. */
interface Fate {
  readonly qos: number
  readonly topic: string
  settled: number
  stored: boolean
  /** The broker has it, or it was given up with a code of its own. */
  isOver: boolean
  /** The server has ended before the broker answered. */
  isLeft: boolean
  /** A newer one stands in its place: it is over when that one is, or is on disk. */
  isSuperseded: boolean
  /** The call was to wait for the disk, and has resolved. */
  isAssured: boolean
  /** The broker has answered it. */
  isAnswered: boolean
  /** It had no room, has waited too long, or is too large for the broker, which was known at the call or later. */
  isGivenUp: boolean
}

/** Of a Message Expiry Interval, in a frame. */
const EXPIRY_BYTES = 5

const finalCodes = new Set<ErrorCode>([
  'ERR_PUBLISH_REFUSED',
  'ERR_PUBLISH_TOO_LARGE',
  'ERR_PUBLISH_DROPPED',
  'ERR_PUBLISH_EXPIRED',
  'ERR_OUTBOX_FULL',
  'ERR_OUTBOX_STORE',
])

const givenUp = new Set<ErrorCode>(['ERR_PUBLISH_TOO_LARGE', 'ERR_PUBLISH_DROPPED', 'ERR_PUBLISH_EXPIRED'])

const ends = new Set<ErrorCode>(['ERR_STOPPED', 'ERR_CONNECTION_CLOSED'])

class World {
  readonly #t: ExecutionContext
  readonly #policy: OutboxPolicy
  readonly #fates: Fate[] = []
  readonly #processes: OutboxStage[] = []
  disk: MemoryDisk = new Map()
  store!: MemoryOutboxStore
  stage!: OutboxStage
  /** Of this process. */
  #published: number[] = []
  #restored = 0
  /** Of what was published or restored, what this process has seen the end of. */
  #over = new Set<number>()
  #diskFailed = false
  /** Of the disk, the largest of this process. */
  #backlog = 0
  /** The largest of this process: what is under way stays so when the next one is smaller. */
  #window = 0

  constructor(t: ExecutionContext, given: OutboxPolicy) {
    this.#t = t
    this.#policy = given
  }

  async start(): Promise<void> {
    this.store = new MemoryOutboxStore(this.disk)
    this.store.isSlow = true
    const left = await this.store.load()
    this.stage = stageOutbox({ policy: this.#policy, store: this.store, left })
    this.#restored = left.length
    this.#published = []
    this.#over = new Set()
    this.#diskFailed = false
    this.#backlog = 0
    this.#window = 0
    this.#processes.push(this.stage)
  }

  async take(one: Step): Promise<void> {
    const { clock, outbox } = this.stage
    if (one.type === 'publish') this.#publish(one.topic, one.options)
    else if (one.type === 'online') {
      this.#window = Math.max(this.#window, one.window)
      outbox.connected(one.window, { ...noLimits, maximumPacketSize: one.maximumPacketSize })
    } else if (one.type === 'offline') {
      outbox.disconnected()
    } else if (one.type === 'sync') await this.#sync()
    else if (one.type === 'disk') this.#setDisk(one)
    else if (one.type === 'wait') clock.advance(one.ms)
    else if (one.type === 'crash') await this.#crash(one.applied)
    else if ('nth' in one) this.#settle(one.type, one.nth)
    await Promise.resolve()
    await Promise.resolve()
    this.#check()
  }

  /** A clean end, and then a healthy broker and a healthy disk: all that is left gets through, and only that. */
  async finish(diskRecovers: boolean): Promise<void> {
    const { outbox, sent } = this.stage
    outbox.close(STOPPED)
    for (const { answer } of this.#unanswered(sent)) {
      answer.reject(new MqttasgiError('ERR_CONNECTION_CLOSED', 'Gone.'))
    }
    await settled()
    if (diskRecovers) this.store.failure = undefined
    await this.#release(diskRecovers)
    for (const index of this.#published) this.#t.is(this.#fates[index]?.settled, 1, `${index}`)
    await this.start()
    this.store.isSlow = false
    this.store.sync()
    this.stage.outbox.connected(1_000, noLimits)
    for (const one of this.stage.sent) {
      this.#ended(one)
      one.answer.resolve({ reasonCode: 0 })
    }
    await settled()
    this.#t.deepEqual([...this.disk.keys()], [])
    // Whoever was told that it is stored hears no more of it; the log and the counters do.
    const lost = this.#fates.filter(({ isOver, stored }) => stored && !isOver).length
    this.#t.true(lost <= this.#givenUp(), `${lost} were stored, and are lost`)
    this.stage.outbox.close(STOPPED)
    for (const { clock } of this.#processes) this.#t.is(clock.timers, 0)
  }

  async #release(diskRecovers: boolean): Promise<void> {
    this.store.isSlow = false
    this.store.sync()
    const isWell = await this.stage.outbox.release()
    if (!this.#diskFailed) this.#t.true(isWell)
    if (diskRecovers || isWell) this.#t.deepEqual(this.#overOnDisk(), [], 'it would be published again')
    if (!isWell) return
    const onDisk = this.#onDisk()
    const lost = this.#published.filter((index) => {
      const { isLeft, topic } = this.#fates[index] ?? {}
      return (
        isLeft === true && !onDisk.includes(index) && !(topic === 'latest' && this.#isReplaced(index, onDisk))
      )
    })
    this.#t.deepEqual(lost, [], 'it is lost, and the end denies it')
  }

  #onDisk(): number[] {
    return [...this.disk.values()].map(({ payload }) => Number(payload.toString()))
  }

  #overOnDisk(): number[] {
    const onDisk = this.#onDisk()
    // It may have been superseded, and sent all the same because the newer one was refused.
    const sent = new Set(this.stage.sent.map(({ payload }) => Number(payload.toString())))
    return onDisk.filter((index) => {
      const fate = this.#fates[index]
      // One of QoS 0 that waits stands between an older one and those that would take its place.
      if (fate?.isSuperseded === true && this.#policy.qos0 === 'keep') return false
      if (!this.#over.has(index) || (sent.has(index) && fate?.isAnswered !== true)) return false
      return fate?.isSuperseded !== true || this.#isReplaced(index, onDisk)
    })
  }

  #isReplaced(index: number, onDisk: readonly number[]): boolean {
    const topic = this.#fates[index]?.topic
    return this.#published.some((newer) => {
      const fate = this.#fates[newer]
      if (newer < index || fate?.topic !== topic || fate?.qos === 0) return false
      return fate?.isAnswered === true || (newer > index && onDisk.includes(newer))
    })
  }

  /** What was assured of a topic of which only the newest counts is on disk, or a newer one is or was answered. */
  #checkNewest(): void {
    const assured = this.#fates.findLastIndex(({ isAssured, topic }) => isAssured && topic === 'latest')
    if (assured < 0 || this.#policy.latest?.length === 0 || this.#givenUp(false) > 0) return
    const isThere = this.#onDisk().some((index) => index >= assured && this.#fates[index]?.topic === 'latest')
    const isAnswered = this.#fates.some(
      (fate, index) => index >= assured && fate.topic === 'latest' && (fate.isAnswered || fate.isGivenUp),
    )
    this.#t.true(isThere || isAnswered, `${assured} was stored, and neither it nor a newer one is`)
  }

  #setDisk({ fails, isInDoubt }: DiskStep): void {
    this.store.failure = fails === 'nothing' ? undefined : new Error('ENOSPC')
    this.store.failing = fails === 'keep' || fails === 'remove' ? fails : undefined
    this.store.isInDoubt = isInDoubt
    this.#diskFailed ||= fails !== 'nothing'
  }

  async #sync(): Promise<void> {
    this.store.sync()
    await settled()
    if (this.store.backlog > 0 || this.stage.outbox.storeFault !== undefined) return
    this.#t.deepEqual(this.#overOnDisk(), [], 'it would be published again, and nobody says so')
  }

  #givenUp(withSuperseded = true): number {
    const counts = this.#processes.map(({ counters, lines }) => {
      const tooLarge = lines.filter((line) => /is given up.*and the broker takes/.test(line)).length
      const superseded = withSuperseded ? counters.outboxSuperseded : 0
      return tooLarge + counters.outboxDropped + counters.outboxExpired + superseded
    })
    return counts.reduce((a, b) => a + b, 0)
  }

  #publish(topic: string, given: PublishOptions): void {
    const index = this.#fates.length
    const fate: Fate = {
      qos: given.qos ?? 1,
      topic,
      settled: 0,
      stored: false,
      isOver: false,
      isLeft: false,
      isSuperseded: false,
      isAssured: false,
      isAnswered: false,
      isGivenUp: false,
    }
    this.#fates.push(fate)
    this.#published.push(index)
    this.stage.outbox.publish(topic, Buffer.from(`${index}`), given).then(
      (result) => {
        fate.settled++
        if (result.stored === true) fate.stored = true
        if (given.until === 'stored') fate.isAssured = true
        if (result.superseded !== true) return
        fate.isSuperseded = true
        this.#end(index)
      },
      (error: MqttasgiError) => {
        fate.settled++
        if (finalCodes.has(error.code)) this.#end(index)
        if (givenUp.has(error.code)) fate.isGivenUp = true
        if (ends.has(error.code) && fate.qos > 0) fate.isLeft = true
      },
    )
  }

  #settle(type: 'answer' | 'refuse' | 'bounce', nth: number): void {
    const open = this.#unanswered(this.stage.sent)
    const one = open[nth % Math.max(1, open.length)]
    if (one === undefined) return
    if (type === 'bounce') {
      // The connection was gone, so nothing that was handed over behind it got through either.
      const first = this.stage.sent.findLastIndex(({ answer }) => answer.settled) + 1
      for (const { answer } of this.stage.sent.splice(first)) {
        answer.reject(new MqttasgiError('ERR_NOT_CONNECTED', 'Gone.'))
      }
      return
    }
    this.#ended(one)
    if (type === 'answer') one.answer.resolve({ reasonCode: 0 })
    else one.answer.reject(new MqttasgiError('ERR_PUBLISH_REFUSED', 'No.'))
  }

  async #crash(applied: number): Promise<void> {
    this.disk = this.store.crash(applied)
    this.#checkNewest()
    this.stage.outbox.close(STOPPED)
    // Whoever waited is gone as well.
    await settled()
    await this.start()
  }

  #ended({ payload }: Sent): void {
    const index = Number(payload.toString())
    const fate = this.#fates[index]
    if (fate !== undefined) fate.isAnswered = true
    this.#end(index)
  }

  #end(index: number): void {
    const fate = this.#fates[index]
    if (fate !== undefined) fate.isOver = true
    this.#over.add(index)
  }

  #unanswered(sent: readonly Sent[]): Sent[] {
    return sent.filter(({ answer }) => !answer.settled)
  }

  #check(): void {
    const { outbox, sent } = this.stage
    const { maxBytes, maxMessages } = this.#policy
    const open = this.#unanswered(sent)
    const unwritten = open.filter((one) => one.options.qos === 0).length
    const limit = Math.max(maxMessages, this.#restored)
    this.#t.true(open.length - unwritten <= this.#window, 'too many are under way')
    this.#t.true(outbox.size - unwritten <= limit, 'too many wait')
    // What waits, what did and could not be taken out, as much as may be left of that before nothing is put there, and
    // what the disk had still to do when that was reached.
    this.#backlog = Math.max(this.#backlog, this.store.backlog)
    this.#t.true(this.disk.size <= 2 * limit + maxMessages + this.#backlog, 'too many are on the disk')
    // What takes its place again, because the disk has refused the newer one, may be larger than that one.
    const beyond = this.#policy.latest?.length === 0 ? 0 : EXPIRY_BYTES
    if (this.#restored === 0) this.#t.true(outbox.bytes <= maxBytes + beyond, 'too many bytes wait')
    for (const topic of ['a', 'b', 'latest']) this.#checkOrder(topic, sent)
  }

  // What bounced was not sent; nothing else is sent twice by one process.
  #checkOrder(topic: string, sent: readonly Sent[]): void {
    const order = sent
      .filter((one) => one.topic === topic && one.options.qos !== 0)
      .map(({ payload }) => Number(payload.toString()))
    const kept = order.filter((index) => !this.#published.includes(index))
    const own = order.filter((index) => this.#published.includes(index))
    this.#t.deepEqual(order, [...kept, ...own], `${topic}: what is from before goes first`)
    this.#t.deepEqual(
      order,
      [...new Set(order)].toSorted((a, b) => a - b),
      `${topic}: in order, once`,
    )
  }
}

test('each publication settles once, in the bounds, in order, what was stored is never lost, and what is over never sent again', async (t) => {
  const scenario = fc.record({
    policy,
    steps: fc.array(step, { maxLength: 60, size: 'max' }),
    diskRecovers: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(scenario, async (given) => {
      const world = new World(t, given.policy)
      await world.start()
      for (const one of given.steps) await world.take(one)
      await world.finish(given.diskRecovers)
    }),
    { numRuns: 500 },
  )
})
