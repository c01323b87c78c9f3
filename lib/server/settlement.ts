// What follows from the outcome of a chain: how the message ends, and what is said of it.
import { MqttasgiError } from '../core/errors.ts'
import { inLog } from '../core/log.ts'
import type { Outcome } from '../core/receiver.ts'

/** How a message ended. Only a message that has ended is acknowledged. */
export interface Settlement {
  readonly type: 'handled' | 'unmatched' | 'failed' | 'dropped'
  readonly error?: Error
  readonly route?: string | undefined
}

const HANDLED: Settlement = Object.freeze({ type: 'handled' })
const UNMATCHED: Settlement = Object.freeze({ type: 'unmatched' })

/**
 * Decides the end of one message at one receiver. There is neither retry nor dead letter yet: what
 * failed is logged, counted, and acknowledged.
 */
export function settle(outcome: Outcome): Settlement {
  switch (outcome.type) {
    case 'done':
      return outcome.handled ? HANDLED : UNMATCHED
    case 'failed':
    case 'retry':
      return { type: 'failed', error: outcome.error, route: outcome.route }
    case 'rejected':
      return { type: 'failed', error: new Error(outcome.reason), route: outcome.route }
    case 'dropped':
      return { type: 'dropped', error: new Error(outcome.reason), route: outcome.route }
  }
}

/** What is said of a message that failed or was dropped. */
export function settlementLine(topic: string, { type, error, route }: Settlement): string {
  const where = route === undefined ? '' : ` in route "${route}"`
  return `The chain for "${inLog(topic)}" ${type === 'dropped' ? 'was dropped' : 'failed'}${where}: ${reasonOf(error)}`
}

// Ours hold nothing long of a stranger's; any other may quote the payload.
function reasonOf(error: Error | undefined): string {
  if (error === undefined) return 'no reason given'
  return error instanceof MqttasgiError ? error.message : inLog(error.message)
}
