// The outbox: publications on their way to the broker, bounded, within the broker's own window and limits; long, for each of these has a word in what goes next.
import type { Clock } from '../core/clock.ts'
import type { MqttasgiError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { PublishOptions, PublishResult } from '../core/message.ts'
import { noLimits, type PublishLimits } from '../transport/outgoing-publish.ts'
import { Alarm } from './alarm.ts'
import type { Counters } from './counters.ts'
import { Letter, SUPERSEDED } from './letter.ts'
import { LetterKeeper, type DurableOutbox } from './letter-keeper.ts'
import { LettersUnderWay } from './letters-under-way.ts'
import * as faults from './outbox-faults.ts'
import { givingWay, isLatestBy, type OutboxPolicy } from './outbox-policy.ts'
import { WaitingLetters } from './waiting-letters.ts'

/** Hands one publication to the connection; settles with the broker's answer. */
export type Send = (topic: string, payload: Buffer, options: PublishOptions) => Promise<PublishResult>

/** What the outbox is made of. */
export interface OutboxParts {
  readonly send: Send
  readonly policy: OutboxPolicy
  readonly counters: Counters
  readonly clock: Clock
  readonly log: Logger
  readonly durable?: DurableOutbox | undefined
  /** Milliseconds since 1970. */
  readonly wallNow: () => number
}

/**
 * Publications of QoS 1 and 2 wait here while the broker is away or has as many as it takes. Those of QoS 0 do not
 * wait, unless the policy keeps them; until they are written they count against the bytes, for nobody may await them.
 */
export class Outbox {
  readonly #parts: OutboxParts
  readonly #waiting: WaitingLetters
  readonly #keeper: LetterKeeper
  readonly #alarm: Alarm
  readonly #underWay = new LettersUnderWay()
  /** Of the connection that is up, or was last. */
  #limits: PublishLimits = noLimits
  #end: MqttasgiError | undefined = undefined
  #idle: (() => void)[] = []

  constructor(parts: OutboxParts) {
    const { clock, counters, policy } = parts
    this.#parts = parts
    this.#waiting = new WaitingLetters(isLatestBy(policy.latest ?? []))
    this.#alarm = new Alarm(clock, () => this.#expireWaiting())
    this.#keeper = new LetterKeeper({
      ...parts,
      waits: (letter) => this.#waiting.has(letter),
      notKept: (letters, error, next) => this.#notKept(letters, error, next),
    })
    for (const letter of this.#keeper.orphans()) {
      this.#putIn(letter, this.#waiting.supersededBy(letter))
      counters.outboxRestored++
    }
  }

  /** Publications that have no answer yet, or are not written yet. */
  get size(): number {
    return this.#waiting.size + this.#underWay.size
  }

  /** Why the disk does not take publications. */
  get storeFault(): Error | undefined {
    return this.#keeper.fault
  }

  /** What they take of the limit. */
  get bytes(): number {
    return this.#waiting.bytes + this.#underWay.bytes
  }

  /**
   * The broker takes this many unacknowledged publications (its Receive Maximum), and none above its limits: those
   * that wait are refused for them now, not when it is their turn. `isHeld`: what waits goes on waiting until `goOn`.
   */
  connected(
    window: number,
    { isHeld = false, ...limits }: PublishLimits & { readonly isHeld?: boolean },
  ): void {
    this.#underWay.window = window
    this.#underWay.isHeld = isHeld
    this.#limits = limits
    for (const letter of this.#waiting) {
      const fault = letter.faultWithin(this.#limits)
      if (fault !== undefined) this.#giveUp(letter, 'publishRefused', fault)
    }
    this.#flush()
  }

  /** What waits is sent from now on. */
  goOn(): void {
    this.#underWay.isHeld = false
    this.#flush()
  }

  /** What is under way stays so; the connection knows it over a reconnect. */
  disconnected(): void {
    this.#underWay.window = 0
  }

  /** Settles once: with the broker's answer, or with what connection, limits, policy or the end made of it. */
  async publish(topic: string, payload: Buffer, options: PublishOptions): Promise<PublishResult> {
    const end = this.#end
    if (end !== undefined && (options.until !== 'stored' || !this.#keeper.isDurable)) throw end
    const letter = this.#letter(topic, payload, options)
    const fault = letter.faultWithin(this.#limits)
    if (fault !== undefined) {
      this.#parts.counters.publishRefused++
      throw fault
    }
    if (end !== undefined) this.#storeOnly(letter, end)
    else if (letter.qos === 0 && this.#waiting.qos0 === 0 && this.#underWay.isConnected) this.#pass(letter)
    else this.#enter(letter)
    return letter.answer
  }

  /** Resolves when every publication has its answer. */
  idle(): Promise<void> {
    if (this.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  /** Refuses what waits and what is to come. What is under way is the connection's to refuse. */
  close(error: MqttasgiError): void {
    if (this.#end !== undefined) return
    this.#end = error
    this.#alarm.cancel()
    for (const letter of this.#waiting) {
      this.#waiting.remove(letter)
      this.#keeper.leave(letter, error)
    }
    this.#keeper.end()
    this.#wake()
  }

  /** After `close`: lets go of the store. True when all that has no answer is there, and nothing else. */
  release(): Promise<boolean> {
    return this.#keeper.release()
  }

  #letter(topic: string, payload: Buffer, options: PublishOptions): Letter {
    const { clock, policy } = this.#parts
    const qos = options.qos ?? 1
    if (options.until === 'stored' && (qos === 0 || !this.#keeper.isDurable)) throw faults.noStore(topic, qos)
    const goesAtOnce = !this.#keeper.isDurable && this.#waiting.size === 0 && this.#underWay.hasRoomFor(qos)
    // While it waits the caller may write over it, and it may be a few bytes of a large chunk.
    const own = goesAtOnce ? payload : Buffer.from(payload)
    return new Letter({ topic, payload: own, options, publishedAt: clock.now() }, policy)
  }

  // The last handlers can still hand over what they have to.
  #storeOnly(letter: Letter, end: MqttasgiError): void {
    if (!this.#keeper.hasRoomFor(letter)) throw this.#full(letter.topic)
    this.#keeper.keep(letter)
    this.#keeper.leave(letter, end)
  }

  // QoS 0 on a connection.
  #pass(letter: Letter): void {
    if (this.bytes + letter.bytes > this.#parts.policy.maxBytes) throw this.#full(letter.topic)
    this.#hand(letter)
  }

  #enter(letter: Letter): void {
    const { policy } = this.#parts
    if (letter.qos === 0 && policy.qos0 !== 'keep') throw faults.notConnected(letter.topic)
    const old = this.#waiting.supersededBy(letter)
    const excess = {
      messages: this.#messages + (old === undefined ? 1 : 0) - policy.maxMessages,
      bytes: this.bytes + letter.bytes - (old?.bytes ?? 0) - policy.maxBytes,
    }
    const going = givingWay(policy, excess, this.#waiting.but(old))
    if (going === undefined) throw this.#full(letter.topic)
    for (const one of going) this.#giveUp(one, 'outboxDropped', faults.dropped(one.topic))
    this.#keeper.keep(letter)
    this.#putIn(letter, old)
    this.#flush(letter)
  }

  #putIn(letter: Letter, old: Letter | undefined): void {
    this.#alarm.set(letter.deadline)
    if (old === undefined) return this.#waiting.add(letter)
    this.#waiting.replace(old, letter)
    this.#supersede(old, letter)
  }

  // Whoever published the newer one hears what becomes of it; to wait along with it would be a queue without limit. Only
  // who asked for the disk waits, for that one of the two is there.
  #supersede(old: Letter, letter: Letter): void {
    this.#parts.counters.outboxSuperseded++
    this.#keeper.supersede(old, letter)
    if (!old.isToBeStored) old.succeed(SUPERSEDED)
  }

  /** What goes in the call that published it has not waited, whatever the clock says: its interval may be 0 (3.3.2.3.3). */
  #flush(fresh?: Letter): void {
    for (;;) {
      const letter = this.#waiting.first()
      if (letter === undefined || !this.#underWay.hasRoomFor(letter.qos)) return
      if (letter !== fresh && letter.isOver(this.#parts.clock.now())) {
        this.#giveUp(letter, 'outboxExpired', faults.expired(letter.topic))
      } else {
        this.#waiting.remove(letter)
        this.#hand(letter)
      }
    }
  }

  #hand(letter: Letter): void {
    const { clock, send } = this.#parts
    this.#underWay.add(letter)
    send(letter.topic, letter.payload, letter.optionsAt(clock.now())).then(
      (result) => {
        this.#underWay.remove(letter)
        this.#answered(letter, result)
      },
      (thrown: unknown) => {
        this.#underWay.remove(letter)
        this.#refused(letter, thrown)
      },
    )
  }

  #answered(letter: Letter, result: PublishResult): void {
    this.#parts.counters.published++
    for (const old of this.#keeper.forget(letter)) old.succeed(SUPERSEDED)
    letter.succeed(result)
    this.#flush()
    this.#wake()
  }

  #refused(letter: Letter, thrown: unknown): void {
    const error = faults.noAnswer(letter.topic, thrown)
    if (error.code === 'ERR_NOT_CONNECTED' && letter.qos > 0 && this.#end === undefined) {
      return this.#return(letter)
    }
    if (faults.isOpenEnd(error)) this.#keeper.leave(letter, error)
    else {
      if (error.code === 'ERR_PUBLISH_QUARANTINED') this.#parts.counters.quarantined++
      else this.#parts.counters.publishRefused++
      this.#tell(letter, error)
    }
    this.#flush()
    this.#wake()
  }

  // The connection was gone before we were told of it, and nothing was sent.
  #return(letter: Letter): void {
    this.#underWay.window = 0
    this.#putBack(letter)
  }

  #putBack(letter: Letter): void {
    this.#alarm.set(letter.deadline)
    const pair = this.#waiting.putBack(letter)
    if (pair !== undefined) this.#supersede(pair.old, pair.newer)
  }

  #giveUp(
    letter: Letter,
    counter: 'outboxDropped' | 'outboxExpired' | 'publishRefused',
    error: MqttasgiError,
  ): void {
    this.#waiting.remove(letter)
    this.#parts.counters[counter]++
    this.#tell(letter, error)
    this.#wake()
  }

  // What the broker can not bear concerns more people than the caller.
  #tell(letter: Letter, error: MqttasgiError): void {
    const { topic } = letter
    for (const old of this.#keeper.forget(letter)) old.fail(error)
    if (letter.fail(error) && error.code !== 'ERR_PUBLISH_QUARANTINED') return
    this.#parts.log.error(`A publication is given up: ${error.message}`, { topic, error })
  }

  #notKept(letters: readonly Letter[], error: Error, next: Letter | undefined): void {
    for (const letter of letters) {
      if (this.#waiting.has(letter)) this.#waiting.remove(letter)
      this.#tell(letter, faults.notStored(letter.topic, error))
    }
    if (next !== undefined) this.#putBack(next)
    this.#wake()
  }

  #expireWaiting(): void {
    const now = this.#parts.clock.now()
    for (const letter of this.#waiting) {
      if (letter.isOver(now)) this.#giveUp(letter, 'outboxExpired', faults.expired(letter.topic))
      else this.#alarm.set(letter.deadline)
    }
  }

  #wake(): void {
    if (this.size > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  // Those of QoS 0 that are only not written yet take bytes and no place: nobody answers them.
  get #messages(): number {
    return this.#waiting.size + this.#underWay.unacknowledged
  }

  #full(topic: string): MqttasgiError {
    this.#parts.counters.outboxFull++
    return faults.full(topic, { ...this.#parts.policy, messages: this.#messages, bytes: this.bytes })
  }
}
