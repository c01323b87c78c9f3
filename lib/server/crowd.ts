// A set of things that come and go with every message: a place in an array, kept by the thing itself.

/** Something that can be in a crowd: it remembers where it stands. */
export interface Member {
  place: number
}

/** Adds and removes at the cost of one store each; order means nothing. */
export class Crowd<M extends Member> implements Iterable<M> {
  readonly #members: M[] = []

  get size(): number {
    return this.#members.length
  }

  add(member: M): void {
    member.place = this.#members.length
    this.#members.push(member)
  }

  /** The member must be in this crowd. The last one takes its place. */
  remove(member: M): void {
    const last = this.#members.pop()
    if (last === undefined || last === member) return
    this.#members[member.place] = last
    last.place = member.place
  }

  [Symbol.iterator](): Iterator<M> {
    return [...this.#members][Symbol.iterator]()
  }
}
