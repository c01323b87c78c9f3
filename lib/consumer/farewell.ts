// The end of a consumer: it is told once and leaves its groups, and what of that takes too long is not waited for.
import type { Clock } from '../core/clock.ts'
import { Deadline } from '../core/deadline.ts'
import { Deferred } from '../core/deferred.ts'
import type { Logger } from '../core/log.ts'
import { FAREWELL_MS, type DisconnectReason } from '../core/receiver.ts'

/** What it works with. Neither of the two may reject. */
export interface FarewellParts {
  readonly id: string
  readonly tell: (reason: DisconnectReason) => Promise<void>
  readonly leaveGroups: () => Promise<void>
  readonly clock: Clock
  readonly log: Logger
}

export class Farewell {
  readonly #parts: FarewellParts
  #over: Deferred | undefined = undefined

  constructor(parts: FarewellParts) {
    this.#parts = parts
  }

  /** From then on nothing is begun any more. */
  get hasBegun(): boolean {
    return this.#over !== undefined
  }

  /** Says it, the first time it is called; resolves when it is over. Never rejects. */
  say(reason: DisconnectReason): Promise<void> {
    if (this.#over === undefined) {
      const over = (this.#over = new Deferred())
      void this.#say(reason).then(() => over.resolve())
    }
    return this.#over.promise
  }

  async #say(reason: DisconnectReason): Promise<void> {
    const { clock, id, leaveGroups, log, tell } = this.#parts
    const open = new Set<string>()
    const noting = async (what: string, work: Promise<void>): Promise<void> => {
      open.add(what)
      await work
      open.delete(what)
    }
    const work = [noting('disconnect()', tell(reason)), noting('Leaving the groups', leaveGroups())]
    await new Deadline(clock, FAREWELL_MS).within(Promise.all(work))
    for (const what of open) {
      log.warn(`${what} of "${id}" has not ended within ${FAREWELL_MS / 1_000} s, and is not waited for.`)
    }
  }
}
