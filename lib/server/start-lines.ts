// Start lines: who may start as soon as there is room in the limits that count for them; the lines take turns.
import { Fifo } from './fifo.ts'

/** What somebody waits for before a start. */
export interface Start {
  /** Names the limits; those of one name have room, or have not, together. */
  readonly limits: string
  readonly hasRoom: () => boolean
}

interface Line<P> {
  readonly limits: string
  readonly standing: Fifo<P>
}

/** A limit without room keeps nobody waiting who stands in another line. */
export class StartLines<P> {
  readonly #startOf: (one: P) => Start | undefined
  readonly #left: (one: P) => void
  readonly #lines = new Map<string, Line<P>>()
  // All lines, the one that was looked at longest ago first.
  readonly #turns = new Fifo<Line<P>>()

  /** `startOf`: what one waits for now, if it may start; `left`: it has left its line, to start or because it may not. */
  constructor(startOf: (one: P) => Start | undefined, left: (one: P) => void) {
    this.#startOf = startOf
    this.#left = left
  }

  /** Puts one at the end of its line. Gives the line. */
  push(one: P, { limits }: Start): Fifo<P> {
    let line = this.#lines.get(limits)
    if (line === undefined) {
      this.#lines.set(limits, (line = { limits, standing: new Fifo<P>() }))
      this.#turns.push(line)
    }
    line.standing.push(one)
    return line.standing
  }

  /** The next one that may start. */
  next(): P | undefined {
    for (let full = 0; full < this.#turns.size;) {
      const line = this.#turns.shift()!
      const start = this.#startIn(line)
      if (start === undefined) this.#lines.delete(line.limits)
      else {
        this.#turns.push(line)
        if (start.hasRoom()) return this.#leave(line)
        full++
      }
    }
    return undefined
  }

  // What its first one waits for, once those in front that may not start, or not here, have left.
  #startIn(line: Line<P>): Start | undefined {
    for (let one = line.standing.peek(); one !== undefined; one = line.standing.peek()) {
      const start = this.#startOf(one)
      if (start?.limits === line.limits) return start
      if (start === undefined) this.#leave(line)
      else this.push(line.standing.shift()!, start)
    }
    return undefined
  }

  #leave({ standing }: Line<P>): P {
    const one = standing.shift()!
    this.#left(one)
    return one
  }
}
