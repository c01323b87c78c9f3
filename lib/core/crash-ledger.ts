// The port to the book of what was in hand when a process died, by which a message that kills it is found out.

/** What is noted of a key. */
export interface Noted {
  /** How many processes have died with it in hand. */
  readonly deaths: number
  /** When it was begun first, the broker had marked the message as sent before (DUP). */
  readonly wasRepeat: boolean
}

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
  /** How many keys it knows: with those processes have died before this one, and they were not settled since. */
  readonly known: number
  knows(key: string): boolean
  /**
   * Notes that a message is about to be handled; `isRepeat`: it is marked as sent before. Resolves when that
   * outlives a crash, with what was noted of the key before; rejects with `ERR_JOURNAL_*` when it can not be kept.
   */
  begin(key: string, isRepeat: boolean): Promise<Noted>
  /**
   * The message has its end, and does not come again for want of it: its key is forgotten, with all that was
   * counted for it.
   */
  settled(key: string): Promise<void>
  /** This process ends well: what is still in hand has what was counted before, and no more. The last call but `close`. */
  cleanEnd(): Promise<void>
  close(): Promise<void>
}
