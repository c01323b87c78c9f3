// Lanes: one job at a time for each key, the others in the order they came.
import { Fifo } from './fifo.ts'

// Its own small table instead of a Map: keys come and go with every message, and a Map that is filled and
// emptied at that pace cost as much as all the rest of the way (benchmarks/receive).
const BUCKETS = 256

/** The place of one key, held by the job that runs; whoever has it need not look for it again. */
export class Lane<J> {
  readonly key: string
  readonly bucket: number
  running: J
  /** In the same bucket. */
  next: Lane<J> | undefined
  // Made when something has to wait, which for most keys is never.
  #waiting: Fifo<J> | undefined = undefined

  constructor(key: string, bucket: number, running: J, next: Lane<J> | undefined) {
    this.key = key
    this.bucket = bucket
    this.running = running
    this.next = next
  }

  /** Lines a job up behind the running one. */
  queue(job: J): void {
    this.#waiting ??= new Fifo<J>()
    this.#waiting.push(job)
  }

  /** The one that is first in line leaves it. */
  shift(): J | undefined {
    return this.#waiting?.shift()
  }

  /** Drops, and gives, those that wait of which this is so. */
  drop(isOver: (job: J) => boolean): J[] {
    return this.#waiting?.drop(isOver) ?? []
  }
}

/** Keeps order per key. It starts nothing itself: it says what may start. */
export class Lanes<J> {
  readonly #buckets: (Lane<J> | undefined)[] = Array.from({ length: BUCKETS })
  #size = 0

  /** Keys with a running job. */
  get size(): number {
    return this.#size
  }

  /** The lane of this key, if a job of it runs now. */
  find(key: string): Lane<J> | undefined {
    if (this.#size === 0) return undefined
    let lane = this.#buckets[bucketOf(key)]
    while (lane !== undefined && lane.key !== key) lane = lane.next
    return lane
  }

  /** Makes the lane for a job that runs; there must be none. */
  take(key: string, job: J): Lane<J> {
    const bucket = bucketOf(key)
    const lane = new Lane(key, bucket, job, this.#buckets[bucket])
    this.#buckets[bucket] = lane
    this.#size++
    return lane
  }

  /** The running job of this lane has ended: gives the next one, which now has the lane, or frees it. */
  next(lane: Lane<J>): J | undefined {
    const next = lane.shift()
    if (next === undefined) this.#remove(lane)
    else lane.running = next
    return next
  }

  /** Drops, and gives, the waiting jobs of which this is so; the running ones go on. */
  dropWaiting(isOver: (job: J) => boolean): J[] {
    return this.#lanes().flatMap((lane) => lane.drop(isOver))
  }

  /** Takes out all jobs, those of each key in their order, the running ones first. */
  clear(): J[] {
    const jobs = this.#lanes().flatMap((lane) => [lane.running].concat(lane.drop(() => true)))
    this.#buckets.fill(undefined)
    this.#size = 0
    return jobs
  }

  /** The jobs that have a lane now. */
  running(): J[] {
    return this.#lanes().map((lane) => lane.running)
  }

  // It is not here any more when all were taken out before its job has ended.
  #remove(lane: Lane<J>): void {
    let before = this.#buckets[lane.bucket]
    if (before === lane) this.#buckets[lane.bucket] = lane.next
    else {
      while (before !== undefined && before.next !== lane) before = before.next
      if (before === undefined) return
      before.next = lane.next
    }
    this.#size--
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
