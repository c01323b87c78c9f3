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
 * known while many run; so after an unclean end the first ones, and all that the broker marks as sent before, run
 * alone. Each is noted before it runs: at the third crash it is known, and nobody else is blamed for it.
 */
export class Suspects {
  readonly #ledger: CrashLedger
  readonly #log: Logger
  readonly #first: number
  // How many of the first messages are still to come.
  #toCome = 0
  #open = 0
  // The keys of those that were left to the broker: what is sent again before them is counted as well.
  readonly #left = new Set<string>()
  #saidFault = false

  /** `first`: how many messages can have been in hand when the process before this one died. */
  constructor(ledger: CrashLedger, first: number, log: Logger) {
    this.#ledger = ledger
    this.#log = log
    this.#first = first
    this.connected()
    if (!ledger.endedCleanly) {
      log.warn(
        `The last process did not end as it should: messages that it may have died of run one at a time. One that ${CRASHES} processes have died of becomes a dead letter.`,
      )
    }
  }

  /** All that was not acknowledged comes again, in front of the others. */
  connected(): void {
    if (!this.#ledger.endedCleanly) this.#toCome = this.#first
  }

  /** There is one, which runs or waits for its turn: nothing is to run beside it. */
  get isInHand(): boolean {
    return this.#open > 0
  }

  /** Whether this arrival is one; asked once for each, in the order they come. */
  suspects(message: SuspectMessage): boolean {
    // QoS 0 does not come again, so no process dies of it twice.
    if (message.qos === 0 || !this.#mayBeOne(message)) return false
    this.#open++
    return true
  }

  /** How many processes have died with this message in hand. It counts as in hand from now on. */
  async begin(message: SuspectMessage): Promise<number> {
    const { dup } = message
    try {
      const { deaths, wasRepeat } = await this.#ledger.begin(messageKey(message), dup)
      // The first process that died of it had not noted it, for nothing was suspected then. It had it in hand if it
      // was marked as sent before when it was noted first; where the mark is never set, that it came again says so.
      return deaths > 0 && (wasRepeat || !dup) ? deaths + 1 : deaths
    } catch (error) {
      this.#failed(error)
      return 0
    }
  }

  /** A suspect has its end. */
  settled(message: SuspectMessage): void {
    this.#open--
    this.forget(message)
  }

  /** Enough processes have died of it. It stays noted until `forget`: without its acknowledgement it comes again. */
  quarantined(): void {
    this.#open--
  }

  /** It does not come again. */
  forget(message: SuspectMessage): void {
    this.#ledger.settled(messageKey(message)).catch((error: unknown) => this.#failed(error))
  }

  /** One that was not begun will come again, and is asked for again. */
  leftToTheBroker(message: SuspectMessage): void {
    this.#open--
    this.#left.add(messageKey(message))
  }

  #mayBeOne(message: SuspectMessage): boolean {
    const wasLeft = this.#left.size > 0 && this.#left.delete(messageKey(message))
    if (this.#toCome > 0) {
      this.#toCome--
      return true
    }
    const { endedCleanly, known } = this.#ledger
    // Some brokers take their time, and send new ones first.
    if (wasLeft || (message.dup && !endedCleanly)) return true
    return known > 0 && this.#ledger.knows(messageKey(message))
  }

  #failed(error: unknown): void {
    if (this.#saidFault) return
    this.#saidFault = true
    this.#log.error(
      `Which message a process dies of can not be noted (${this.#ledger.name}): ${toError(error).message} One that ends the process will come again and again.`,
    )
  }
}
