// What is said of a request that the broker did not answer, or refused.
import { MqttasgiError } from '../core/errors.ts'
import { quote } from '../core/topic.ts'
import { reasonText } from './reason-codes.ts'

export function notConnected(what: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_NOT_CONNECTED',
    `Not sent: ${what}, for there is no connection to the broker.`,
  )
}

export function closedError(what: string, cause?: Error): MqttasgiError {
  const message = `The connection ended before the broker answered ${what}.`
  return new MqttasgiError('ERR_CONNECTION_CLOSED', message, cause === undefined ? {} : { cause })
}

export function unbearable(what: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_PUBLISH_QUARANTINED',
    `Not sent again: ${what}. Three times the broker ended the connection within a second of it: it may be too large, or not allowed; the broker's log says why.`,
  )
}

/** MQTT 5 answers each filter by itself (3.11.3); 0x11, no such subscription, is what we wanted. */
export function unsubscribeFault(
  filters: readonly string[],
  codes: readonly unknown[],
): MqttasgiError | undefined {
  const refused = filters.flatMap((filter, index) => {
    const code = codes[index]
    return typeof code === 'number' && code >= 0x80 ? [`${quote(filter)} (${reasonText(code)})`] : []
  })
  if (refused.length === 0) return undefined
  return new MqttasgiError('ERR_UNSUBSCRIBE_REFUSED', `The broker refused to end ${refused.join(', ')}.`)
}
