// The book of a journal's segments: what lives in which, what can be dropped, and when it is worth cleaning one.

/** Where the value of a key stands. */
export interface Place {
  readonly sequence: number
  readonly segment: number
  readonly valueAt: number
  readonly valueBytes: number
  /** Bytes of the whole record. */
  readonly bytes: number
}

interface Book {
  bytes: number
  readonly live: Set<string>
}

/** Where every key stands, in the order of their latest put. Says what is to be done, and does none of it. */
export class Segments {
  readonly #places = new Map<string, Place>()
  readonly #books = new Map<number, Book>()
  readonly #segmentBytes: number
  #bytes = 0
  #liveBytes = 0

  constructor(segmentBytes: number) {
    this.#segmentBytes = segmentBytes
  }

  get size(): number {
    return this.#places.size
  }

  /** Bytes of the records that still count. */
  get liveBytes(): number {
    return this.#liveBytes
  }

  place(key: string): Place | undefined {
    return this.#places.get(key)
  }

  keys(): IterableIterator<string> {
    return this.#places.keys()
  }

  /** The segments there are, oldest first. */
  numbers(): readonly number[] {
    return [...this.#books.keys()]
  }

  /** The keys that stand in a segment. */
  keysIn(segment: number): readonly string[] {
    return [...(this.#books.get(segment)?.live ?? [])]
  }

  /** A segment was made, after all others. */
  add(segment: number): void {
    this.#books.set(segment, { bytes: 0, live: new Set() })
  }

  /** A segment has grown. */
  grow(segment: number, bytes: number): void {
    const book = this.#books.get(segment)
    if (book === undefined) return
    book.bytes += bytes
    this.#bytes += bytes
  }

  /** Puts a key at the end. */
  put(key: string, place: Place): void {
    this.delete(key)
    this.#places.set(key, place)
    this.#enter(key, place)
  }

  delete(key: string): boolean {
    const place = this.#places.get(key)
    if (place === undefined) return false
    this.#leave(key, place)
    return this.#places.delete(key)
  }

  /** A key stands elsewhere now, with what it had: its turn among the others stays. */
  move(key: string, place: Place): void {
    const old = this.#places.get(key)
    if (old !== undefined) this.#leave(key, old)
    this.#places.set(key, place)
    this.#enter(key, place)
  }

  forget(segment: number): void {
    this.#bytes -= this.#books.get(segment)?.bytes ?? 0
    this.#books.delete(segment)
  }

  /**
   * The oldest segment, when nothing in it counts any more. Only ever the oldest: the deletion of a key
   * stands in the segment of its put or in a later one, so that no put outlives its deletion.
   */
  droppable(active: number | undefined): number | undefined {
    const [oldest] = this.#books
    if (oldest === undefined || oldest[0] === active || oldest[1].live.size > 0) return undefined
    return oldest[0]
  }

  /**
   * The oldest segment, when what lives in it should move to the end so that it can be dropped: when more
   * is dead than alive and it is more than a segment's worth, or when there are many small segments.
   */
  cleanable(active: number | undefined): number | undefined {
    const [oldest] = this.#books.keys()
    if (oldest === undefined || oldest === active) return undefined
    const dead = this.#bytes - this.#liveBytes
    const isWasteful = dead > this.#liveBytes + this.#segmentBytes
    const isSplintered = this.#books.size > 8 + (2 * this.#bytes) / this.#segmentBytes
    return isWasteful || isSplintered ? oldest : undefined
  }

  #enter(key: string, { segment, bytes }: Place): void {
    this.#books.get(segment)?.live.add(key)
    this.#liveBytes += bytes
  }

  #leave(key: string, { segment, bytes }: Place): void {
    this.#books.get(segment)?.live.delete(key)
    this.#liveBytes -= bytes
  }
}
