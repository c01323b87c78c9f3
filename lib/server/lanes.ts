// Lanes: one job at a time for each key, the others in the order they came.
import { Fifo } from './fifo.ts'

// Its own small table instead of a Map: keys come and go with every message, and a Map that is filled and
// emptied at that pace cost as much as all the rest of the way (benchmarks/receive).
const BUCKETS = 256

interface Lane<J> {
  readonly key: string
  running: J
  // Made when something has to wait, which for most keys is never.
  waiting: Fifo<J> | undefined
  next: Lane<J> | undefined
}

/** Keeps order per key. It starts nothing itself: it says what may start. */
export class Lanes<J> {
  readonly #buckets: (Lane<J> | undefined)[] = Array.from({ length: BUCKETS })
  #size = 0

  /** Keys with a running job. */
  get size(): number {
    return this.#size
  }

  /** Whether a job of this key runs now. */
  busy(key: string): boolean {
    return this.#size > 0 && this.#find(key) !== undefined
  }

  /** Takes the lane for a job that runs; the lane must not be busy. */
  take(key: string, job: J): void {
    const bucket = bucketOf(key)
    this.#buckets[bucket] = { key, running: job, waiting: undefined, next: this.#buckets[bucket] }
    this.#size++
  }

  /** Lines a job up behind the running one of its key. */
  queue(key: string, job: J): void {
    const lane = this.#find(key)
    if (lane !== undefined) (lane.waiting ??= new Fifo<J>()).push(job)
  }

  /** Another one runs in the lane of this key now, in the place of the one that had it. */
  takeOver(key: string, job: J): void {
    const lane = this.#find(key)
    if (lane !== undefined) lane.running = job
  }

  /** The running job of this key has ended: gives the next one, which now has the lane, or frees it. */
  next(key: string): J | undefined {
    const lane = this.#find(key)
    if (lane === undefined) return undefined
    const next = lane.waiting?.shift()
    if (next === undefined) this.#remove(lane)
    else lane.running = next
    return next
  }

  /** Drops, and gives, those of this key that wait, of which this is so. */
  dropBehind(key: string, isOver: (job: J) => boolean): J[] {
    return this.#find(key)?.waiting?.drop(isOver) ?? []
  }

  /** Drops, and gives, the waiting jobs of which this is so; the running ones go on. */
  dropWaiting(isOver: (job: J) => boolean): J[] {
    return this.#lanes().flatMap(({ waiting }) => waiting?.drop(isOver) ?? [])
  }

  /** Takes out all jobs, those of each key in their order, the running ones first. */
  clear(): J[] {
    const jobs = this.#lanes().flatMap(({ running, waiting }) => [running].concat(waiting?.items() ?? []))
    this.#buckets.fill(undefined)
    this.#size = 0
    return jobs
  }

  /** The jobs that have a lane now. */
  running(): J[] {
    return this.#lanes().map((lane) => lane.running)
  }

  #find(key: string): Lane<J> | undefined {
    let lane = this.#buckets[bucketOf(key)]
    while (lane !== undefined && lane.key !== key) lane = lane.next
    return lane
  }

  #remove(lane: Lane<J>): void {
    const bucket = bucketOf(lane.key)
    this.#size--
    let before = this.#buckets[bucket]
    if (before === lane) {
      this.#buckets[bucket] = lane.next
      return
    }
    while (before !== undefined && before.next !== lane) before = before.next
    if (before !== undefined) before.next = lane.next
  }

  #lanes(): Lane<J>[] {
    const lanes: Lane<J>[] = []
    for (let lane of this.#buckets) {
      for (; lane !== undefined; lane = lane.next) lanes.push(lane)
    }
    return lanes
  }
}

// At most some thirty characters are looked at, spread over the key: a long topic costs no more than a
// short one, and as many lanes as the window has places can share a bucket without harm.
function bucketOf(key: string): number {
  const step = (key.length >> 4) + 1
  let hash = key.length
  for (let i = 0; i < key.length; i += step) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return (hash ^ (hash >>> 15)) & (BUCKETS - 1)
}
