// Holds the embedded broker to the QoS it has granted, which aedes does for exact filters only.
import type { QoS } from '../core/message.ts'
import { matches } from '../core/topic.ts'

/** The subscriptions of one client, by filter. */
export type Granted = Readonly<Record<string, { readonly qos: number }>>

/** What is changed of a message on its way to one client. */
export interface Forwarded {
  readonly topic: string
  qos: QoS
  readonly messageId?: number | undefined
}

/**
 * Lowers the QoS of a message to the best that was granted to a filter matching it (3.8.4), in place: it
 * is the copy for this client.
 */
export function capQos(granted: Granted, message: Forwarded): void {
  if (message.qos === 0) return
  const best = bestGranted(granted, message)
  if (best === undefined || best >= message.qos) return
  // One out of the queue of a session has a packet id already and leaves the queue on its PUBACK only:
  // as QoS 0 it would be sent again at each reconnect.
  const least = message.messageId === undefined ? 0 : 1
  message.qos = asQoS(Math.max(best, least))
}

function bestGranted(granted: Granted, { topic, qos }: Forwarded): number | undefined {
  let best: number | undefined
  for (const [filter, subscription] of Object.entries(granted)) {
    if (best !== undefined && subscription.qos <= best) continue
    if (!matches(filter, topic)) continue
    best = subscription.qos
    if (best >= qos) break
  }
  return best
}

function asQoS(value: number): QoS {
  return value >= 2 ? 2 : value === 1 ? 1 : 0
}
