// A plan that asks for nothing but the order of its topic.
import { plainPlan as unordered } from '../../lib/core/plain-plan.ts'
import type { Plan } from '../../lib/core/receiver.ts'

export const plainPlan: Plan = { ...unordered, order: 'topic' }
