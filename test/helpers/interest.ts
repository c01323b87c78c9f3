// An interest in a filter, as a route without options has it.
import type { Interest } from '../../lib/core/receiver.ts'

export function interest(filter: string, more: Partial<Interest> = {}): Interest {
  const plain = {
    share: undefined,
    qos: 1,
    noLocal: false,
    retainHandling: 0,
    retainAsPublished: false,
  } as const
  return { ...plain, filter, source: filter, ...more }
}
