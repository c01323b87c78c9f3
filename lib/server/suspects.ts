// Suspects: after a process has died, the messages it may have died of run one at a time, and are counted on disk.
import type { CrashLedger } from '../core/crash-ledger.ts'
import { toError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import type { Message } from '../core/message.ts'
import { messageKey } from './message-key.ts'

/** What is looked at of a message. */
export type SuspectMessage = Pick<Message, 'topic' | 'payload' | 'qos' | 'dup'>

/** How often a process may die with a message in hand before it is kept as a dead letter. */
export const CRASHES = 3

/**
 * A message that ends the process is delivered again to the next one, and ends that too. Which it is can not be
 * known while many run; so after an unclean end the first ones, and all that the broker marks as sent before,
 * run alone. Each is noted before it runs: at the third crash it is known, and nobody else is blamed for it.
 */
export class Suspects {
  readonly #ledger: CrashLedger
  readonly #log: Logger
  // How many of the first messages are still to come.
  #toCome: number
  // Nothing but messages that were sent before has come so far.
  #onlyRepeats = true
  #open = 0
  // The keys of those that were left to the broker: what is sent again before them is counted as well.
  readonly #left = new Set<string>()
  #saidFault = false

  /** `first`: how many messages can have been in hand when the process before this one died. */
  constructor(ledger: CrashLedger, first: number, log: Logger) {
    this.#ledger = ledger
    this.#log = log
    this.#toCome = ledger.endedCleanly ? 0 : first
    this.#onlyRepeats = !ledger.endedCleanly
    if (this.#onlyRepeats) {
      log.warn(
        `The last process did not end as it should: messages that it may have died of run one at a time. One that ${CRASHES} processes have died of becomes a dead letter.`,
      )
    }
  }

  /** There is one, which runs or waits for its turn: nothing is to run beside it. */
  get isInHand(): boolean {
    return this.#open > 0
  }

  /** Whether this arrival is one; asked once for each, in the order they come. */
  suspects(message: SuspectMessage): boolean {
    const { dup, qos } = message
    // QoS 0 does not come again, so no process dies of it twice.
    if (qos === 0) return false
    this.#onlyRepeats &&= dup
    const wasLeft = this.#left.size > 0 && this.#left.delete(messageKey(message))
    if (this.#toCome === 0 && !this.#onlyRepeats && !wasLeft) return false
    this.#toCome = Math.max(0, this.#toCome - 1)
    this.#open++
    return true
  }

  /** How many processes have died with this message in hand. It counts as in hand from now on. */
  async begin(message: SuspectMessage): Promise<number> {
    try {
      const crashes = await this.#ledger.begin(messageKey(message))
      // The first process that died of it had not noted it: nothing was suspected then.
      return crashes > 0 && message.dup ? crashes + 1 : crashes
    } catch (error) {
      this.#failed(error)
      return 0
    }
  }

  /** A suspect has its end. */
  settled(message: SuspectMessage): void {
    this.#open--
    this.#ledger.settled(messageKey(message)).catch((error: unknown) => this.#failed(error))
  }

  /** One that was not begun will come again, and is asked for again. */
  leftToTheBroker(message: SuspectMessage): void {
    this.#open--
    this.#toCome++
    this.#left.add(messageKey(message))
  }

  #failed(error: unknown): void {
    if (this.#saidFault) return
    this.#saidFault = true
    this.#log.error(
      `Which message a process dies of can not be noted (${this.#ledger.name}): ${toError(error).message} One that ends the process will come again and again.`,
    )
  }
}
