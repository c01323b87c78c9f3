// The journal of one session: two processes with one client id at one broker can not both have it.
import { MqttasgiError, toError } from '../core/errors.ts'
import { DurableMap, type DurableMapOptions } from './durable-map.ts'
import { isLocked } from './slots.ts'

/** Opens the map. Codes: `ERR_JOURNAL_LOCKED`, with what helps, and `ERR_JOURNAL_OPEN`. */
export async function openSessionJournal(options: DurableMapOptions): Promise<DurableMap> {
  try {
    return await DurableMap.open(options)
  } catch (cause) {
    if (!isLocked(cause)) throw cause
    // Another stateDir would open it, and the broker would throw one of the two off.
    const mend = 'give each process a client id of its own (broker.clientId), or end the other one.'
    const message = `${toError(cause).message} It is that of one client id at one broker: ${mend}`
    throw new MqttasgiError('ERR_JOURNAL_LOCKED', message, { cause })
  }
}
