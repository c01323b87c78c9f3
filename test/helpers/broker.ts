// What the tests know of a real broker, whichever it is.

/** Name and password for brokers that let nobody in without. */
export interface Login {
  readonly username: string
  readonly password: string
}

/** A running broker. */
export interface Broker {
  readonly port: number
  /** With the scheme of its listener. */
  readonly url: string
  /** Who may connect; undefined where anybody may. */
  readonly login: Login | undefined
  readonly pid: number | undefined
  /** Ends it in peace and removes its files. */
  stop(): Promise<void>
  /** SIGKILL: nothing is saved, nobody is told. `restart` brings it back. */
  kill(): Promise<void>
  /** SIGSTOP: connections stay open and silent, as on a half-open link. */
  pause(): void
  resume(): void
  /** Up again with the same port and data; ends a running one in peace first. */
  restart(): Promise<void>
  /** All it has logged so far. */
  log(): string
}
