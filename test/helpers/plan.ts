// A plan that asks for nothing special: no route, order by topic, one attempt, no limits.
import type { FailurePolicy, Plan } from '../../lib/core/receiver.ts'

const once: FailurePolicy = {
  retry: { attempts: 1, minDelayMs: 0, maxDelayMs: 0, jitter: false, never: [] },
  deadLetter: false,
}

export const plainPlan: Plan = {
  routes: [],
  order: 'topic',
  keyOf: undefined,
  limits: [],
  shedding: undefined,
  timeoutMs: 0,
  holdMs: 0,
  failurePolicy: () => once,
}
