// What CONNACK says of the broker beyond yes or no: what it allows, and what it decided in our place.
import type { QoS } from '../core/message.ts'

/**
 * What holds on one connection (3.2.2.3). Where CONNACK says nothing the standard's default stands; 3.1.1 can say
 * nothing of it, so there all stands as if nothing were limited.
 */
export interface BrokerLimits {
  /** The highest QoS of our publications. */
  readonly maximumQoS: QoS
  /** It keeps retained messages. */
  readonly retainAvailable: boolean
  /** Filters may hold + and #. */
  readonly wildcardSubscriptions: boolean
  /** How many topic aliases it takes from us. We use none. */
  readonly topicAliasMaximum: number
  /** Seconds it keeps the session after the connection, where that is not what was asked for. */
  readonly sessionExpirySeconds: number | undefined
  /** Seconds of its own keepalive, which is in force instead of ours; 0 for none. */
  readonly keepaliveSeconds: number | undefined
  /** The client id it gave to a client that named none. */
  readonly assignedClientId: string | undefined
  /** Where response topics may begin (3.2.2.3.15). */
  readonly responseInformation: string | undefined
  /** Another server that may be used instead (4.11). */
  readonly serverReference: string | undefined
  /** What it says to people. */
  readonly reasonString: string | undefined
}

/** A broker that says nothing. */
export const unlimited: BrokerLimits = {
  maximumQoS: 2,
  retainAvailable: true,
  wildcardSubscriptions: true,
  topicAliasMaximum: 0,
  sessionExpirySeconds: undefined,
  keepaliveSeconds: undefined,
  assignedClientId: undefined,
  responseInformation: undefined,
  serverReference: undefined,
  reasonString: undefined,
}

/** CONNACK's properties, as MQTT.js reads them. */
export interface ConnackProperties {
  readonly maximumQoS?: number | undefined
  readonly retainAvailable?: boolean | undefined
  readonly wildcardSubscriptionAvailable?: boolean | undefined
  readonly topicAliasMaximum?: number | undefined
  readonly sessionExpiryInterval?: number | undefined
  readonly serverKeepAlive?: number | undefined
  readonly assignedClientIdentifier?: string | undefined
  readonly responseInformation?: string | undefined
  readonly serverReference?: string | undefined
  readonly reasonString?: string | undefined
}

export function brokerLimits(said: ConnackProperties): BrokerLimits {
  const { maximumQoS = 2 } = said
  return {
    maximumQoS: maximumQoS === 0 || maximumQoS === 1 ? maximumQoS : 2,
    retainAvailable: said.retainAvailable !== false,
    wildcardSubscriptions: said.wildcardSubscriptionAvailable !== false,
    topicAliasMaximum: said.topicAliasMaximum ?? 0,
    sessionExpirySeconds: said.sessionExpiryInterval,
    keepaliveSeconds: said.serverKeepAlive,
    assignedClientId: said.assignedClientIdentifier,
    responseInformation: said.responseInformation,
    serverReference: said.serverReference,
    reasonString: said.reasonString,
  }
}
