// SIGINT and SIGTERM: the first asks to stop, the second does not ask.
import { exitCodes } from './exit-codes.ts'

/** The signals that stop a server. */
export type StopSignal = 'SIGINT' | 'SIGTERM'

/** As much of a process as is needed. */
export interface SignalSource {
  on(signal: StopSignal, listener: () => void): unknown
  off(signal: StopSignal, listener: () => void): unknown
}

// npm hands Ctrl-C on to a process that had it from the terminal already: nobody is that quick.
const samePressMs = 100

/** Listens from the moment it is made, so that no signal meets the default, which is to die. */
export class StopSignals {
  /** Resolves with the first signal. */
  readonly first: Promise<StopSignal>
  readonly #source: SignalSource
  readonly #exit: (code: number) => void
  readonly #listeners: readonly (readonly [StopSignal, () => void])[]
  #resolve: (signal: StopSignal) => void = () => {}
  readonly #now: () => number
  #asked: { readonly signal: StopSignal; readonly at: number } | undefined

  /** `exit` is called with 130 or 143 at the second signal, whichever of the two it is. */
  constructor(
    source: SignalSource,
    exit: (code: number) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#source = source
    this.#exit = exit
    this.#now = now
    this.first = new Promise((resolve) => {
      this.#resolve = resolve
    })
    this.#listeners = (['SIGINT', 'SIGTERM'] as const).map((signal) => [signal, () => this.#received(signal)])
    for (const [signal, listener] of this.#listeners) source.on(signal, listener)
  }

  /** The first signal, when it has come. */
  get asked(): StopSignal | undefined {
    return this.#asked?.signal
  }

  /** Leaves the signals to others again. */
  dispose(): void {
    for (const [signal, listener] of this.#listeners) this.#source.off(signal, listener)
  }

  #received(signal: StopSignal): void {
    const at = this.#now()
    if (this.#asked !== undefined) {
      const isCtrlC = signal === 'SIGINT' && this.#asked.signal === 'SIGINT'
      if (!isCtrlC || at - this.#asked.at >= samePressMs) this.#exit(exitCodes[signal])
      return
    }
    this.#asked = { signal, at }
    this.#resolve(signal)
  }
}
