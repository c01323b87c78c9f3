// What a handler throws to decide itself what becomes of its message: try again, keep it as a dead letter, or drop it.
import { MqttasgiError, toError } from './errors.ts'
import type { Outcome } from './receiver.ts'

/** How a message that was thrown back is to be tried again. */
export interface RetryRequest {
  /** Milliseconds to wait, instead of the route's back-off. */
  readonly afterMs?: number
  /** For the log, and for the dead letter when no attempt is left. */
  readonly reason?: string
  readonly cause?: unknown
}

/** Reason codes of PUBACK that say why a message was not taken (3.4.2.1). To the broker all of them mean: done. */
export type RejectReasonCode = 0x80 | 0x83 | 0x99

/** What else is to be said of a rejected message. */
export interface RejectDetails {
  /** MQTT 5: written into the acknowledgement. 0x99, payload format invalid, where the payload is to blame. */
  readonly reasonCode?: RejectReasonCode
  readonly cause?: unknown
}

/**
 * Thrown in a handler: try this message again, as long as the route's `retry.attempts` and `holdMs` allow.
 * Throws `ERR_OUTCOME_INVALID` for an `afterMs` that is no number of milliseconds.
 *
 * @example
 * if (pump.isBusy) throw new Retry({ afterMs: 2_000, reason: 'the pump is busy' })
 */
export class Retry extends Error {
  readonly afterMs: number | undefined

  constructor(request: RetryRequest = {}) {
    const { afterMs, reason = 'the handler asks for another attempt', cause } = request
    super(reason, cause === undefined ? undefined : { cause })
    // As Reject and Drop have it; without types nobody would notice that the reason is lost.
    if (typeof request !== 'object') {
      throw invalid(`Retry takes an object such as { reason, afterMs }, and got a ${typeof request}.`)
    }
    if (afterMs !== undefined && !(Number.isFinite(afterMs) && afterMs >= 0)) {
      throw invalid(`Retry takes afterMs in milliseconds, 0 or more, and got ${String(afterMs)}.`)
    }
    this.afterMs = afterMs
  }
}

/**
 * Thrown in a handler: this message can not be handled, now or later. It becomes a dead letter at once.
 * Throws `ERR_OUTCOME_INVALID` for a reason code that PUBACK does not have for this.
 *
 * @example
 * if (!('celsius' in reading)) throw new Reject('no celsius in the reading', { reasonCode: 0x99 })
 */
export class Reject extends Error {
  readonly reasonCode: RejectReasonCode | undefined

  constructor(reason: string, { reasonCode, cause }: RejectDetails = {}) {
    super(reason, cause === undefined ? undefined : { cause })
    if (reasonCode !== undefined && !rejectReasonCodes.has(reasonCode)) {
      throw invalid(`Reject takes the reason codes 0x80, 0x83 and 0x99, and got ${String(reasonCode)}.`)
    }
    this.reasonCode = reasonCode
  }
}

/**
 * Thrown in a handler: nobody needs this message. It is acknowledged, counted as `dropped`, and gone.
 *
 * @example
 * if (reading.takenAt < yesterday) throw new Drop('too old to matter')
 */
export class Drop extends Error {
  constructor(reason: string, { cause }: Pick<RejectDetails, 'cause'> = {}) {
    super(reason, cause === undefined ? undefined : { cause })
  }
}

// On the prototypes, so that a printed error begins with its name.
for (const [one, name] of [
  [Retry, 'Retry'],
  [Reject, 'Reject'],
  [Drop, 'Drop'],
] as const) {
  one.prototype.name = name
}

const rejectReasonCodes: ReadonlySet<number> = new Set([0x80, 0x83, 0x99])

/** Whether this is one of the three that decide by themselves. */
export function decidesOutcome(thrown: unknown): thrown is Retry | Reject | Drop {
  return thrown instanceof Retry || thrown instanceof Reject || thrown instanceof Drop
}

/** The outcome of a chain that ended with this. */
export function outcomeOf(thrown: unknown, route: string | undefined): Outcome {
  if (thrown instanceof Retry) return { type: 'retry', afterMs: thrown.afterMs, error: thrown, route }
  if (thrown instanceof Reject)
    return { type: 'rejected', error: thrown, reasonCode: thrown.reasonCode ?? 0, route }
  if (thrown instanceof Drop) return { type: 'dropped', error: thrown, route }
  return { type: 'failed', error: toError(thrown), route }
}

function invalid(message: string): MqttasgiError {
  return new MqttasgiError('ERR_OUTCOME_INVALID', message)
}
