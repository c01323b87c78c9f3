// Reads CONNACK and DISCONNECT: what was settled for the connection, and what the broker has to say to it.
import { brokerLimits, type ConnackProperties } from './broker-limits.ts'
import type { Said } from './connect-failure.ts'
import type { ConnectionInfo } from './transport.ts'

/** CONNACK as MQTT.js reads it, as far as it is read here. */
interface Connack {
  readonly sessionPresent: boolean
  readonly properties?:
    | (ConnackProperties & {
        readonly receiveMaximum?: number | undefined
        readonly maximumPacketSize?: number | undefined
        readonly subscriptionIdentifiersAvailable?: boolean | undefined
        readonly sharedSubscriptionAvailable?: boolean | undefined
      })
    | undefined
}

/** What CONNACK settled. 3.1.1 settles nothing but the session. */
export function connectionInfo(packet: Connack, protocolVersion: 4 | 5): ConnectionInfo {
  const properties = packet.properties ?? {}
  const five = protocolVersion === 5
  return {
    sessionPresent: packet.sessionPresent,
    protocolVersion,
    receiveMaximum: properties.receiveMaximum ?? 65_535,
    maximumPacketSize: properties.maximumPacketSize,
    subscriptionIdentifiers: five && properties.subscriptionIdentifiersAvailable !== false,
    sharedSubscriptions: properties.sharedSubscriptionAvailable !== false,
    limits: brokerLimits(properties),
  }
}

/** The words beside a code. */
export function saidIn(
  properties: { readonly reasonString?: string; readonly serverReference?: string } = {},
): Said {
  return { reason: properties.reasonString, serverReference: properties.serverReference }
}

/** Of the whole packet; MQTT.js keeps its Remaining Length (2.1.4). */
export function frameBytes({ length = 0 }: { readonly length?: number | undefined }): number {
  return (length < 128 ? 2 : 3) + length
}
