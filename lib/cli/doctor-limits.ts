// What CONNACK says of a broker, limit by limit, and what each means for this application.
import { type Finding, fault, note, ok } from './findings.ts'
import type { PlanReport } from './plan-report.ts'
import type { Settings } from '../config/settings.ts'
import type { ConnectionInfo } from '../transport/transport.ts'

/** Those of MQTT 3.1.1 are not told by the broker; what it does is tried elsewhere. */
export function limitFindings(info: ConnectionInfo, plan: PlanReport, settings: Settings): Finding[] {
  const version =
    info.protocolVersion === 5
      ? ok('protocol', 'MQTT 5', 'reason codes, properties and session expiry are there')
      : note(
          'protocol',
          'MQTT 3.1.1',
          'no reason codes, no properties and no limits are told; the broker alone decides how long a session lasts',
        )
  if (info.protocolVersion === 4) return [version, identifierFinding(info, plan)]
  return [
    version,
    identifierFinding(info, plan),
    ok(
      'receive maximum',
      String(info.receiveMaximum),
      'so many of our publications may be unanswered at once; more wait in the outbox',
    ),
    packetFinding(info),
    qosFinding(info),
    retainFinding(info),
    wildcardFinding(info, plan),
    keepaliveFinding(info, settings),
  ]
}

function identifierFinding({ subscriptionIdentifiers }: ConnectionInfo, { overlaps }: PlanReport): Finding {
  const name = 'subscription identifiers'
  if (subscriptionIdentifiers)
    return ok(name, 'yes', 'where filters overlap, copies are told apart: the chain runs once')
  if (overlaps.length === 0) return ok(name, 'no', 'none are needed, for no filters overlap')
  return note(
    name,
    'no',
    'where filters overlap each copy that comes runs; see mqttasgi plan, and overlap: superset',
  )
}

function packetFinding({ maximumPacketSize }: ConnectionInfo): Finding {
  const name = 'maximum packet size'
  if (maximumPacketSize === undefined) return ok(name, 'none', 'publications of any size are taken')
  return ok(
    name,
    `${maximumPacketSize} bytes`,
    'a larger publication is refused here, with ERR_PUBLISH_TOO_LARGE',
  )
}

function qosFinding({ limits: { maximumQoS } }: ConnectionInfo): Finding {
  if (maximumQoS > 0)
    return ok('maximum QoS', String(maximumQoS), 'publications of QoS 1, the default, are taken')
  return fault(
    'maximum QoS',
    '0',
    'publications of QoS 1, the default, are refused; nothing can be published for sure',
  )
}

function retainFinding({ limits: { retainAvailable } }: ConnectionInfo): Finding {
  if (retainAvailable)
    return ok('retained messages', 'yes', 'what is published with retain is kept for who subscribes later')
  return note('retained messages', 'no', 'a publication with retain is refused here')
}

function wildcardFinding({ limits: { wildcardSubscriptions } }: ConnectionInfo, plan: PlanReport): Finding {
  if (wildcardSubscriptions) return ok('wildcards', 'yes', 'filters may hold + and #')
  const wild = plan.subscriptions.filter(({ filter }) => /[+#]/.test(filter)).map(({ filter }) => filter)
  if (wild.length === 0) return ok('wildcards', 'no', 'no route needs them')
  return fault('wildcards', 'no', `the broker is not asked for ${wild.join(', ')}, so the start fails`)
}

function keepaliveFinding({ limits: { keepaliveSeconds } }: ConnectionInfo, { broker }: Settings): Finding {
  const asked = broker.keepaliveSeconds
  if (keepaliveSeconds === undefined || keepaliveSeconds === asked) {
    return ok(
      'keepalive',
      `${asked} s`,
      'as asked for; a link that is silent for one and a half of it is given up',
    )
  }
  return note(
    'keepalive',
    `${keepaliveSeconds} s`,
    `the broker's own, in the place of the ${asked} s that were asked for`,
  )
}
