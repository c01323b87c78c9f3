// Which filters a broker can not be asked for, by what its CONNACK says.
import { sharedFilter } from '../core/topic.ts'
import type { ConnectionInfo } from '../transport/transport.ts'

const NO_SHARED_SUBSCRIPTIONS = 0x9e
const NO_WILDCARDS = 0xa2

/**
 * The reason code by which the broker would end the connection, each time anew, if it were asked for this filter
 * (3.2.2.3.11, 3.2.2.3.13); undefined when it can be asked.
 */
export function unavailable(
  filter: string,
  { limits, sharedSubscriptions }: Pick<ConnectionInfo, 'limits' | 'sharedSubscriptions'>,
): number | undefined {
  const shared = sharedFilter(filter)
  if (!sharedSubscriptions && shared !== null) return NO_SHARED_SUBSCRIPTIONS
  if (!limits.wildcardSubscriptions && /[+#]/.test(shared?.filter ?? filter)) return NO_WILDCARDS
  return undefined
}
