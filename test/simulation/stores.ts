// What outlives a simulated process: the dead letters, and the book of what was in hand when one died.
import type { CrashLedger, Noted } from '../../lib/core/crash-ledger.ts'
import type { DeadLetter, DeadLetterStore } from '../../lib/core/dead-letter.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import type { SeededRandom } from '../helpers/seeded-random.ts'
import type { StoreMood } from './scenario.ts'

interface Write {
  readonly apply: () => void
  readonly done: Deferred
}

/** Writes of one process that the disk has not said anything to yet. */
export class Disk {
  readonly #random: SeededRandom
  /** It never takes anything. */
  readonly isGone: boolean
  #writes: Write[] = []

  constructor(random: SeededRandom, isGone = false) {
    this.#random = random
    this.isGone = isGone
  }

  get waiting(): number {
    return this.#writes.length
  }

  write(apply: () => void): Promise<void> {
    const done = new Deferred()
    this.#writes.push({ apply, done })
    return done.promise
  }

  /** The oldest one is answered. What fails may be there all the same (`perhaps`). */
  answer(fails: 'no' | 'perhaps' | 'never'): void {
    const write = this.#writes.shift()
    if (write === undefined) return
    if (fails === 'no' || (fails === 'perhaps' && this.#random.chance(0.2))) write.apply()
    if (fails === 'no') write.done.resolve()
    else write.done.reject(new Error('the disk says no'))
  }

  /** The process dies: some of what was on its way is there. In order: a journal has no holes. */
  crash(): void {
    const there = this.isGone ? 0 : this.#random.below(this.#writes.length + 1)
    for (const { apply } of this.#writes.slice(0, there)) apply()
    this.#writes = []
  }
}

/** The letters, over all processes. */
export class SimulatedLetters {
  readonly #mood: StoreMood
  readonly #kept = new Map<string, number>()
  size = 0

  constructor(mood: StoreMood) {
    this.#mood = mood
  }

  get isBroken(): boolean {
    return this.#mood === 'broken'
  }

  /** How many there are of this receiver with this topic and payload. */
  count(receiver: string, topic: string, payload: string): number {
    return this.#kept.get(`${receiver} ${topic} ${payload}`) ?? 0
  }

  /** As one process sees the store. */
  open(disk: Disk): DeadLetterStore {
    return {
      name: 'simulated',
      keep: (letter) => disk.write(() => this.#keep(letter)),
      close: () => Promise.resolve(),
    }
  }

  #keep({ payload, receiver, topic }: DeadLetter): void {
    const key = `${receiver} ${topic} ${payload.toString()}`
    this.#kept.set(key, (this.#kept.get(key) ?? 0) + 1)
    this.size++
  }
}

/** The book, over all processes. */
export class SimulatedLedger {
  readonly #notes = new Map<string, Noted>()
  #isRunning = false

  /**
   * As one process sees it, from its start. `inHand` is what it has asked for and not settled; what is `noted` may
   * still be in the book if it dies.
   */
  open(disk: Disk): CrashLedger & {
    readonly inHand: ReadonlyMap<string, number>
    readonly noted: ReadonlySet<string>
  } {
    const endedCleanly = !this.#isRunning
    this.#isRunning = true
    const left = new Map(this.#notes)
    const inHand = new Map<string, number>()
    const noted = new Set<string>()
    return {
      name: 'simulated',
      endedCleanly,
      inHand,
      noted,
      get known() {
        return left.size
      },
      knows: (key) => left.has(key),
      begin: async (key, isRepeat) => {
        const before = left.get(key) ?? { deaths: 0, wasRepeat: isRepeat }
        inHand.set(key, (inHand.get(key) ?? 0) + 1)
        noted.add(key)
        await disk.write(() => this.#notes.set(key, { ...before, deaths: before.deaths + 1 }))
        return before
      },
      settled: async (key) => {
        const count = (inHand.get(key) ?? 1) - 1
        if (count > 0) return void inHand.set(key, count)
        inHand.delete(key)
        left.delete(key)
        await disk.write(() => {
          this.#notes.delete(key)
          if (!inHand.has(key)) noted.delete(key)
        })
      },
      cleanEnd: () => {
        for (const key of inHand.keys()) this.#restore(key, left.get(key))
        this.#isRunning = false
        return Promise.resolve()
      },
      close: () => Promise.resolve(),
    }
  }

  #restore(key: string, noted: Noted | undefined): void {
    if (noted === undefined) this.#notes.delete(key)
    else this.#notes.set(key, noted)
  }
}
