// One publication on its way: what it is, how long it is of use, and who waits for what becomes of it.
import type { MqttasgiError } from '../core/errors.ts'
import type { PublishOptions, PublishResult } from '../core/message.ts'
import type { KeptPublication } from '../core/outbox-store.ts'
import { limitFault, measurePublish, type PublishLimits } from '../transport/outgoing-publish.ts'
import type { OutboxPolicy } from './outbox-policy.ts'

/** What a letter is made of. */
export interface LetterParts {
  readonly topic: string
  readonly payload: Buffer
  readonly options: PublishOptions
  /** On the monotonic clock, in milliseconds; before the start of this process where it was kept. */
  readonly publishedAt: number
  /** The key of one that an earlier process has left: it is on disk, and nobody waits for it. */
  readonly key?: string
}

/** What becomes of one that made way for a newer one of its topic. */
export const SUPERSEDED: PublishResult = { reasonCode: 0, superseded: true }

let count = 0

export class Letter {
  /** Of two the newer one has the higher number; its place may be that of an older one. */
  readonly number: number = count++
  readonly topic: string
  readonly payload: Buffer
  /** Of its frame, as the limits of MQTT 5 count them; 3.1.1 has none. */
  readonly frameBytes: number
  /** As the limits of the outbox count them. */
  readonly bytes: number
  /** The last moment at which it may be sent; Infinity for any. */
  readonly deadline: number
  /** Settles once, with the broker's answer or whatever else becomes of it. */
  readonly answer: Promise<PublishResult>
  /** Its place among those that wait. */
  place = 0
  /** Its name in the store, once it was given there. */
  key: string | undefined
  /** What the store has said of it. What it has refused may be there all the same: a disk that fails can not know. */
  standing: 'asked' | 'kept' | 'refused'
  /** Settles when the store was asked to let go of those whose place it took, and has answered. */
  cleared: Promise<unknown> | undefined = undefined
  readonly #options: PublishOptions
  readonly #publishedAt: number
  #resolve!: (result: PublishResult) => void
  #reject!: (error: Error) => void
  #isWaitedFor: boolean

  /** Throws `ERR_PUBLISH_INVALID` or `ERR_PUBLISH_TOO_LARGE` for what can not be sent on any connection. */
  constructor({ key, options, payload, publishedAt, topic }: LetterParts, policy: OutboxPolicy) {
    const { bytesBesideFrame = 0, maxAgeMs = Number.POSITIVE_INFINITY } = policy
    this.topic = topic
    this.payload = payload
    this.frameBytes = measurePublish(topic, payload, options, 5).bytes
    this.bytes = this.frameBytes + bytesBesideFrame
    this.key = key
    this.standing = key === undefined ? 'asked' : 'kept'
    this.#isWaitedFor = key === undefined
    this.#options = options
    this.#publishedAt = publishedAt
    const expiryMs = (options.properties?.messageExpiryInterval ?? Number.POSITIVE_INFINITY) * 1_000
    this.deadline = publishedAt + Math.min(expiryMs, maxAgeMs)
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  get qos(): 0 | 1 | 2 {
    return this.#options.qos ?? 1
  }

  get retain(): boolean {
    return this.#options.retain === true
  }

  /** The store has confirmed it. */
  get isKept(): boolean {
    return this.key !== undefined && this.standing === 'kept'
  }

  /** The caller asked to be told when it is on disk, and was not told anything yet. */
  get isToBeStored(): boolean {
    return this.#isWaitedFor && this.#options.until === 'stored'
  }

  /** Why a broker with these limits would not take it. */
  faultWithin(limits: PublishLimits): MqttasgiError | undefined {
    const { frameBytes: bytes, qos, retain, topic } = this
    return limitFault(topic, { qos, retain, bytes }, limits)
  }

  isOver(now: number): boolean {
    return now > this.deadline
  }

  /** How long ago it was published. */
  ageAt(now: number): number {
    return now - this.#publishedAt
  }

  /**
   * As it is to be sent now. Of its Message Expiry Interval is left what it has not waited, as 3.3.2.3.3 demands of
   * servers: whoever gets it sees how long it is of use, not how long it once was.
   */
  optionsAt(now: number): PublishOptions {
    const { qos, retain, properties } = this.#options
    const options = { qos: qos ?? 1, ...(retain === undefined ? {} : { retain }) }
    if (properties?.messageExpiryInterval === undefined) {
      return properties === undefined ? options : { ...options, properties }
    }
    const waitedSeconds = Math.floor(this.ageAt(now) / 1_000)
    const messageExpiryInterval = Math.max(0, properties.messageExpiryInterval - waitedSeconds)
    return { ...options, properties: { ...properties, messageExpiryInterval } }
  }

  /** As it was published. */
  get options(): PublishOptions {
    return this.#options
  }

  succeed(result: PublishResult): void {
    this.#isWaitedFor = false
    this.#resolve(result)
  }

  /** False when nobody hears of it. */
  fail(error: Error): boolean {
    if (!this.#isWaitedFor) return false
    this.#isWaitedFor = false
    this.#reject(error)
    return true
  }
}

/** The time of this process, and milliseconds since 1970. */
interface Clocks {
  readonly now: number
  readonly wallNow: number
}

/** As it is kept under this key, now or again later. */
export function asKept(letter: Letter, key: string, { now, wallNow }: Clocks): KeptPublication {
  const { payload, qos, topic } = letter
  const { properties, retain } = letter.options
  const options = { qos, ...(retain !== undefined && { retain }), ...(properties && { properties }) }
  return { key, topic, payload, options, publishedAt: Math.round(wallNow - letter.ageAt(now)) }
}

/** One that an earlier process has left, on the clock of this one. */
export function orphan(kept: KeptPublication, clocks: Clocks, policy: OutboxPolicy): Letter {
  // A wall clock that was set back must not make it younger than it is.
  const ageMs = Math.max(0, clocks.wallNow - kept.publishedAt)
  return new Letter({ ...kept, publishedAt: clocks.now - ageMs }, policy)
}
