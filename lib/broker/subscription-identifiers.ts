// Gives a forwarded message the identifiers of all subscriptions it is for; aedes gives it one of them.
import { matches } from '../core/topic.ts'

/** The subscriptions of one client, by filter, as aedes keeps them. */
export type Identified = Readonly<Record<string, { readonly si?: number; readonly nl?: boolean }>>

/** What is changed of a message on its way to one client. */
export interface Identifiable {
  readonly topic: string
  /** The client that published it. */
  readonly clientId?: string | undefined
  /** Null marks what is sent because of a SUBSCRIBE: it is for that subscription alone. */
  readonly brokerId?: string | null | undefined
  properties?: object
}

/**
 * Names every subscription with an identifier that the message is for [MQTT-3.3.4-3, MQTT-3.3.4-4]: a client
 * gets one copy, and tells by them which of its filters it is for.
 */
export function nameSubscriptions(
  { id, subscriptions }: { readonly id: string; readonly subscriptions: Identified },
  message: Identifiable,
): void {
  if (message.brokerId === null) return
  const identifiers: number[] = []
  for (const [filter, { si, nl }] of Object.entries(subscriptions)) {
    if (si === undefined || (nl === true && message.clientId === id)) continue
    if (matches(filter, message.topic)) identifiers.push(si)
  }
  if (identifiers.length === 0) return
  // A new object: the one there is frozen, or belongs to the copies of other clients too.
  message.properties = { ...message.properties, subscriptionIdentifier: identifiers }
}
