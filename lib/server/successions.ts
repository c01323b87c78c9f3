// Which letter took whose place, as long as the disk has not taken one and the broker has not answered.
import type { Letter } from './letter.ts'

/**
 * A line for each topic of which only the newest counts, oldest first: at most one that is on disk, and then what is not.
 * Its last one is the heir: it waits or is under way, for all of them.
 */
export class Successions {
  readonly #lines = new Map<Letter, Letter[]>()

  /** The line of a letter; one that has taken nobody's place is alone. */
  lineOf(letter: Letter): readonly Letter[] {
    return this.#lines.get(letter) ?? [letter]
  }

  heirOf(letter: Letter): Letter {
    return this.#lines.get(letter)?.at(-1) ?? letter
  }

  /** `letter` takes the place of `old`, and so of all whose place that one had. */
  join(old: Letter, letter: Letter): void {
    const line = this.#lines.get(old) ?? [old]
    this.#lines.set(old, line)
    const others = this.lineOf(letter)
    for (const one of others) {
      line.push(one)
      this.#lines.set(one, line)
    }
    // Several that come back from a connection that was gone make way for one after the other.
    if (others.length > 1) line.sort((one, other) => one.number - other.number)
  }

  /** Takes out all before a letter: it is on disk, or had its answer. */
  takeBefore(letter: Letter): Letter[] {
    const line = this.#lines.get(letter) ?? []
    const taken: Letter[] = []
    for (let first = line[0]; first !== undefined && first !== letter; first = line[0]) {
      line.shift()
      this.#lines.delete(first)
      taken.push(first)
    }
    return taken
  }

  /** Takes out the last one of a line, which is over, when nobody is before it. */
  end(letter: Letter): void {
    this.#lines.delete(letter)
  }

  /** Those at the end of a line that the disk has refused, newest first. */
  refusedAt(letter: Letter): Letter[] {
    const line = this.lineOf(letter)
    return line.slice(line.findLastIndex(({ standing }) => standing !== 'refused') + 1).reverse()
  }

  /**
   * Takes them out, but for the newest that goes to the broker without the disk. That one is the heir now, or whoever
   * is left of the line.
   */
  takeRefused(letter: Letter): Letter[] {
    const refused = this.refusedAt(letter)
    const stays = refused.find(({ isToBeStored }) => !isToBeStored)
    const line = this.#lines.get(letter) ?? []
    line.length -= Math.min(line.length, refused.length)
    if (stays !== undefined) line.push(stays)
    const taken = refused.filter((one) => one !== stays)
    for (const one of taken) this.#lines.delete(one)
    return taken
  }
}
