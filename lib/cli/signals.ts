// SIGINT and SIGTERM: the first asks to stop, the second does not ask.
import { exitCodes } from './exit-codes.ts'

/** The signals that stop a server. */
export type StopSignal = 'SIGINT' | 'SIGTERM'

/** As much of a process as is needed. */
export interface SignalSource {
  on(signal: StopSignal, listener: () => void): unknown
  off(signal: StopSignal, listener: () => void): unknown
}

/** Listens from the moment it is made, so that no signal meets the default, which is to die. */
export class StopSignals {
  /** Resolves with the first signal. */
  readonly first: Promise<StopSignal>
  readonly #source: SignalSource
  readonly #exit: (code: number) => void
  readonly #listeners: readonly (readonly [StopSignal, () => void])[]
  #resolve: (signal: StopSignal) => void = () => {}
  #isAsked = false

  /** `exit` is called with 130 or 143 at the second signal, whichever of the two it is. */
  constructor(source: SignalSource, exit: (code: number) => void) {
    this.#source = source
    this.#exit = exit
    this.first = new Promise((resolve) => {
      this.#resolve = resolve
    })
    this.#listeners = (['SIGINT', 'SIGTERM'] as const).map((signal) => [signal, () => this.#received(signal)])
    for (const [signal, listener] of this.#listeners) source.on(signal, listener)
  }

  /** Leaves the signals to others again. */
  dispose(): void {
    for (const [signal, listener] of this.#listeners) this.#source.off(signal, listener)
  }

  #received(signal: StopSignal): void {
    if (this.#isAsked) {
      this.#exit(exitCodes[signal])
      return
    }
    this.#isAsked = true
    this.#resolve(signal)
  }
}
