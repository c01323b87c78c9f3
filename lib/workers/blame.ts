// Which failures of a worker are charged to its messages: to those in hand, as long as one of them has not turned out well.
import type { Message } from '../core/message.ts'
import type { Attempt, Outcome } from '../core/receiver.ts'

/** One failure, and how many messages it may have come of. */
export class Charge {
  #suspects: number

  constructor(suspects: number) {
    this.#suspects = suspects
  }

  /** As long as it does, the failure is no restart of the worker: it has cost a message an attempt, and of those there is an end. */
  get holds(): boolean {
    return this.#suspects > 0
  }

  acquit(): void {
    this.#suspects--
  }
}

/** `P` are the places where messages are in hand. */
export class Blame<P extends object> {
  readonly #inHand = new WeakMap<P, Map<Message, Attempt>>()
  // What failed last there, with nothing that has turned out well since: its end is told before the one of whoever it has
  // brought down, who still has to say farewell.
  readonly #failedLast = new WeakMap<P, Message>()
  readonly #charges = new WeakMap<Message, Charge[]>()
  readonly #chargedAt = new WeakMap<Message, P>()

  /** A message has been given to this place. Gives back its outcome. */
  watch(place: P, message: Message, attempt: Attempt, outcome: Promise<Outcome>): Promise<Outcome> {
    const inHand = this.#at(place)
    inHand.set(message, attempt)
    return outcome.then((one) => {
      if (inHand.get(message) === attempt) {
        inHand.delete(message)
        if (hasFailed(one)) this.#failedLast.set(place, message)
      }
      this.ended(place, message, one)
      return one
    })
  }

  /** An attempt has ended. What ends well has not brought its worker down, or not for itself. */
  ended(place: P, message: Message, outcome: Outcome): void {
    if (hasFailed(outcome)) return
    this.#failedLast.delete(place)
    for (const charge of this.#charges.get(message) ?? []) charge.acquit()
    this.#charges.delete(message)
    this.#chargedAt.delete(message)
  }

  /** Where somebody has failed, last, and may have failed of this message. */
  chargedAt(message: Message): P | undefined {
    return this.#chargedAt.get(message)
  }

  /** Whoever was at this place has failed. Undefined when no message can be to blame, so that nothing is to blame but itself. */
  charge(place: P): Charge | undefined {
    const inHand = this.#at(place)
    const begun = [...inHand].flatMap(([message, { isWaiting }]) => (isWaiting === true ? [] : [message]))
    const last = this.#failedLast.get(place)
    this.#failedLast.delete(place)
    if (begun.length === 0 && last !== undefined) begun.push(last)
    if (begun.length === 0) return undefined
    const charge = new Charge(begun.length)
    for (const message of begun) {
      inHand.delete(message)
      this.#chargedAt.set(message, place)
      const charges = this.#charges.get(message)
      if (charges === undefined) this.#charges.set(message, [charge])
      else charges.push(charge)
    }
    return charge
  }

  #at(place: P): Map<Message, Attempt> {
    let inHand = this.#inHand.get(place)
    if (inHand === undefined) this.#inHand.set(place, (inHand = new Map<Message, Attempt>()))
    return inHand
  }
}

function hasFailed({ type }: Outcome): boolean {
  return type === 'failed' || type === 'retry' || type === 'notTaken'
}
