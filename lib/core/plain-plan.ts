// The plan of what asks for nothing: no route, no order, no limit, and one attempt that leaves nothing behind.
import type { FailurePolicy, Plan } from './receiver.ts'

/** One attempt, and no dead letter. */
export const onceOnly: FailurePolicy = Object.freeze({
  retry: Object.freeze({ attempts: 1, minDelayMs: 0, maxDelayMs: 0, jitter: false, never: [] }),
  deadLetter: false,
})

export const plainPlan: Plan = Object.freeze({
  routes: [],
  order: 'none',
  keyOf: undefined,
  limits: [],
  shedding: undefined,
  timeoutMs: 0,
  holdMs: 0,
  failurePolicy: () => onceOnly,
})
