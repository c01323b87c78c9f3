// The port to the book of what was in hand when a process died, by which a message that kills it is found out.

/**
 * Counts, over the lives of processes, with which messages in hand they died (E8).
 *
 * Only a start whose process neither settled it nor ended with `cleanEnd` counts: that one may have died of
 * it. Two deliveries with one key at the same time are one.
 */
export interface CrashLedger {
  /** For people: `journal /var/lib/app/crash-ledger/1`. */
  readonly name: string
  /** False when the process before this one did not come to `cleanEnd`: it crashed, or was killed. */
  readonly endedCleanly: boolean
  /** Processes have died with this key in hand, and it has had no end since. */
  knows(key: string): boolean
  /**
   * Notes that a message is about to be handled. Resolves when that outlives a crash, with how many
   * processes have died with this key in hand before; rejects with `ERR_JOURNAL_*` when it can not be kept.
   * `unnoted`: how many of these there were before the first that could note it.
   */
  begin(key: string, unnoted?: number): Promise<number>
  /** The message has its end: its key is forgotten, with all that was counted for it. */
  settled(key: string): Promise<void>
  /** This process ends well: what is still in hand is no suspect for it. The last call but `close`. */
  cleanEnd(): Promise<void>
  close(): Promise<void>
}
