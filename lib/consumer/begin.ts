// An attempt that has stood in the line of its receiver begins: its time counts from now on.
import type { Attempt } from '../core/receiver.ts'

/** `afterMs`: how long it has stood there. */
export function begin(attempt: Attempt, afterMs: number): void {
  attempt.isWaiting = false
  if (attempt.begins === undefined) attempt.extend(Math.ceil(afterMs))
  else attempt.begins(afterMs)
}
