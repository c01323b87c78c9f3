// What follows from the outcome of a chain: its message has ended, is tried again, or becomes a dead letter.
import type { Random } from '../core/backoff.ts'
import type { DeadLetterCause } from '../core/dead-letter.ts'
import { MqttasgiError } from '../core/errors.ts'
import { inLog } from '../core/log.ts'
import type { QoS } from '../core/message.ts'
import type { FailurePolicy, Outcome, Plan, RetryPolicy } from '../core/receiver.ts'

/** How a message ended. Only a message that has ended is acknowledged. */
export interface Settlement {
  readonly type: 'handled' | 'unmatched' | 'failed' | 'dropped' | 'deadLettered'
  readonly error?: Error
  readonly route?: string | undefined
  /** For PUBACK of MQTT 5 (3.4.2.1); to the broker it means: done. 0 for none. */
  readonly reasonCode?: number
  /** The id of the dead letter that it has become. */
  readonly letter?: string
}

/** A message that is to be kept as a dead letter; it has ended when it is. */
export interface Burial {
  readonly cause: DeadLetterCause
  readonly error: Error
  readonly route: string | undefined
  readonly reasonCode: number
}

/** What is to be done with a message now. */
export type Decision =
  | { readonly type: 'end'; readonly settlement: Settlement }
  | { readonly type: 'again'; readonly afterMs: number; readonly burial: Burial }
  /** As `again`, for what was not begun: it has been no attempt. */
  | { readonly type: 'later'; readonly afterMs: number; readonly burial: Burial }
  | { readonly type: 'bury'; readonly burial: Burial }

/** What counts beside the outcome. */
export interface Standing {
  readonly plan: Plan
  readonly qos: QoS
  /** Starts so far. */
  readonly attempt: number
  /** Milliseconds until the message may be held no longer. */
  readonly leftMs: number
  /** The handler has been given up, and has not ended. */
  readonly stillRuns: boolean
  readonly random: Random
}

const HANDLED: Settlement = Object.freeze({ type: 'handled' })
const UNMATCHED: Settlement = Object.freeze({ type: 'unmatched' })

const PAYLOAD_FORMAT_INVALID = 0x99

// How soon it is looked whether somebody is there again who takes messages.
const LOOK_AGAIN_MS = 200

/** The end of a message whose chain has done its work. */
export function endOf({ handled }: Extract<Outcome, { readonly type: 'done' }>): Settlement {
  return handled ? HANDLED : UNMATCHED
}

/** Decides what becomes of one message at one receiver. */
export function decide(outcome: Outcome, standing: Standing): Decision {
  switch (outcome.type) {
    case 'done':
      return { type: 'end', settlement: endOf(outcome) }
    case 'dropped':
      return { type: 'end', settlement: { type: 'dropped', error: outcome.error, route: outcome.route } }
    case 'rejected':
      return buried('rejected', outcome, standing)
    case 'retry':
      return again(outcome, standing, outcome.afterMs)
    case 'failed':
      return again(outcome, standing, undefined)
    case 'notTaken':
      if (LOOK_AGAIN_MS >= standing.leftMs) return buried('held', outcome, standing)
      return { type: 'later', afterMs: LOOK_AGAIN_MS, burial: burialOf('failed', outcome) }
  }
}

/** The end of a message that is to be kept, where it can be kept; else it has failed. */
export function burialOrFailure(burial: Burial, policy: FailurePolicy): Decision {
  if (policy.deadLetter) return { type: 'bury', burial }
  const { error, route, reasonCode } = burial
  return { type: 'end', settlement: { type: 'failed', error, route, reasonCode } }
}

/** Full jitter over a delay that doubles from the second attempt on. */
export function retryDelay(
  { minDelayMs, maxDelayMs, jitter }: RetryPolicy,
  attempt: number,
  random: Random,
): number {
  const delay = Math.min(maxDelayMs, minDelayMs * 2 ** Math.min(attempt - 1, 40))
  return jitter ? random() * delay : delay
}

type Failure = Extract<Outcome, { readonly error: Error }>

function again(outcome: Failure, standing: Standing, afterMs: number | undefined): Decision {
  const { attempt, leftMs, plan, qos, random, stillRuns } = standing
  const { retry } = plan.failurePolicy(outcome.route, qos)
  if (attempt >= retry.attempts || isFinal(outcome.error, retry)) return buried('failed', outcome, standing)
  // A handler that did not heed its signal gets the whole delay to do so.
  const delay = stillRuns
    ? Math.max(1, Math.min(retry.minDelayMs, retry.maxDelayMs))
    : retryDelay(retry, attempt, random)
  const wait = afterMs ?? delay
  if (wait >= leftMs) return buried('held', outcome, standing)
  return { type: 'again', afterMs: wait, burial: burialOf('failed', outcome) }
}

function buried(cause: DeadLetterCause, outcome: Failure, { plan, qos }: Standing): Decision {
  return burialOrFailure(burialOf(cause, outcome), plan.failurePolicy(outcome.route, qos))
}

function burialOf(cause: DeadLetterCause, outcome: Failure): Burial {
  const { error, route } = outcome
  return { cause, error, route, reasonCode: reasonCodeOf(outcome) }
}

// What says no today will say no at each attempt.
function isFinal(error: Error, { never }: RetryPolicy): boolean {
  if (error instanceof MqttasgiError && error.isFinal) return true
  return never.some((one) => error instanceof one)
}

function reasonCodeOf(outcome: Failure): number {
  if (outcome.type === 'rejected' && outcome.reasonCode !== 0) return outcome.reasonCode
  const { error } = outcome
  return error instanceof MqttasgiError && error.code === 'ERR_PAYLOAD_JSON' ? PAYLOAD_FORMAT_INVALID : 0
}

/** What is said of a message that failed, was dropped, or has become a dead letter. */
export function settlementLine(topic: string, { type, error, letter, route }: Settlement): string {
  const where = route === undefined ? '' : ` in route "${route}"`
  const what = type === 'dropped' ? 'was dropped' : 'failed'
  const kept = type === 'deadLettered' ? `, and its message is a dead letter now, ${letter}` : ''
  return `The chain for "${inLog(topic)}" ${what}${where}${kept}: ${reasonOf(error)}`
}

// Names that say no more than the line does.
const ordinary: ReadonlySet<string> = new Set(['Error', 'Retry', 'Reject', 'Drop'])

// Ours hold nothing long of a stranger's; any other may quote the payload.
export function reasonOf(error: Error | undefined): string {
  if (error === undefined) return 'no reason given'
  if (error instanceof MqttasgiError) return `${error.message} (${error.code})`
  return inLog(ordinary.has(error.name) ? error.message : `${error.name}: ${error.message}`)
}
