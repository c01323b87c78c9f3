// The six numbers of a queue checker, and what else is worth counting.

/** Of one seed, or of many. */
export interface Tally {
  /** Publications. */
  attempted: number
  /** Acknowledged to the broker; of QoS 0, sent. */
  acknowledged: number
  /** Acknowledged, and neither handled, kept, dropped nor shed as declared. */
  lost: number
  /** First attempts at a receiver that had begun the message before. */
  duplicated: number
  /** Runs of what nobody published, or nobody was to see. */
  unexpected: number
  /** Dead letters. */
  recovered: number
  /** Attempts beyond the first. */
  retried: number
  shed: number
  dropped: number
  /** Still with the broker at the end, for their dead letters can not be kept. */
  waiting: number
  /** Processes that died, and connections that ended. */
  crashes: number
  connections: number
}

export function emptyTally(): Tally {
  return {
    attempted: 0,
    acknowledged: 0,
    lost: 0,
    duplicated: 0,
    unexpected: 0,
    recovered: 0,
    retried: 0,
    shed: 0,
    dropped: 0,
    waiting: 0,
    crashes: 0,
    connections: 0,
  }
}

export function addTally(sum: Tally, { ...one }: Tally): void {
  for (const name of Object.keys(sum) as (keyof Tally)[]) sum[name] += one[name]
}

export function tallyLine(tally: Tally): string {
  return Object.entries(tally)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ')
}
