// The port to where it is remembered which filters a session holds, for the process that comes after this one.

/** A filter on the wire, `$share/group/` included, that was subscribed in the session of this client id. */
export interface RememberedFilter {
  readonly filter: string
  /**
   * `start`: it was wanted when the process started, so a process that does not want it at its start wants it
   * no more. `later`: it came at run time, and may come again. `ended`: it has been given up, and is remembered
   * for its `life` alone.
   */
  readonly since: 'start' | 'later' | 'ended'
  /**
   * How often it had been given up in this session when it was asked for last, or, once it has ended, will have been
   * when it is asked for next. What it has brought before may still wait, and must not look like what it brings now.
   * Left out: never.
   */
  readonly life?: number
}

/** What one client id may hold at one broker. Both reject when the store can not be read or written. */
export interface FilterMemory {
  /** Empty where nothing was ever remembered. */
  recall(): Promise<readonly RememberedFilter[]>
  /** In the place of what was remembered before; resolves when it outlives a crash. */
  remember(filters: readonly RememberedFilter[]): Promise<void>
}

/** A memory, and what older processes have left in it. */
export interface RecalledFilters {
  readonly memory: FilterMemory
  readonly left: readonly RememberedFilter[]
}
