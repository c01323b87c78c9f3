// Limits: how many messages of one route may run at one time; the others wait in the order they came.
import type { ConcurrencyLimit } from '../core/receiver.ts'
import { Fifo } from './fifo.ts'

interface Gate<J> {
  inside: number
  readonly waiting: Fifo<J>
}

/** Counts places. It starts nothing itself: it says what may go on. */
export class Limits<J> {
  readonly #gates = new Map<string, Gate<J>>()

  /** Whether one that comes now has a place at once. */
  hasRoom({ name, most }: ConcurrencyLimit): boolean {
    return (this.#gates.get(name)?.inside ?? 0) < most
  }

  /** Takes a place; false when there is none, and the job waits for the next that is left. */
  take({ name, most }: ConcurrencyLimit, job: J): boolean {
    let gate = this.#gates.get(name)
    if (gate === undefined) this.#gates.set(name, (gate = { inside: 0, waiting: new Fifo<J>() }))
    if (gate.inside >= most) {
      gate.waiting.push(job)
      return false
    }
    gate.inside++
    return true
  }

  /** Leaves a place: gives the job that has it now, if one waited. */
  leave({ name }: ConcurrencyLimit): J | undefined {
    const gate = this.#gates.get(name)
    if (gate === undefined) return undefined
    const next = gate.waiting.shift()
    if (next === undefined) gate.inside--
    return next
  }

  /** Takes out the waiting jobs; those inside hold no place any more. */
  clear(): J[] {
    const waiting = [...this.#gates.values()].flatMap((gate) => gate.waiting.clear())
    this.#gates.clear()
    return waiting
  }

  /** Drops, and gives, the waiting jobs of which this is so; those inside go on. */
  dropWaiting(isOver: (job: J) => boolean): J[] {
    return [...this.#gates.values()].flatMap(({ waiting }) => waiting.drop(isOver))
  }
}
