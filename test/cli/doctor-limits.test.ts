// What CONNACK says, and what it means for an application: by examples that no broker here gives.
import test from 'ava'
import { limitFindings } from '../../lib/cli/doctor-limits.ts'
import { reportPlan, type PlanReport } from '../../lib/cli/plan-report.ts'
import { resolveOptions } from '../../lib/config/load.ts'
import { unlimited } from '../../lib/transport/broker-limits.ts'
import type { ConnectionInfo } from '../../lib/transport/transport.ts'
import { interest } from '../helpers/interest.ts'

const settings = resolveOptions({})
const info: ConnectionInfo = {
  sessionPresent: false,
  protocolVersion: 5,
  receiveMaximum: 20,
  maximumPacketSize: undefined,
  subscriptionIdentifiers: true,
  sharedSubscriptions: true,
  limits: unlimited,
}

function planFor(...filters: string[]): PlanReport {
  const placements = filters.map((filter) => ({ receiver: 'application', interest: interest(filter) }))
  return reportPlan(placements, 5, settings)
}

function levels(connection: ConnectionInfo, plan = planFor('a/+')): Record<string, string> {
  return Object.fromEntries(
    limitFindings(connection, plan, settings).map(({ level, name, value }) => [name, `${level} ${value}`]),
  )
}

test('a broker without limits is well', (t) => {
  t.true(Object.values(levels(info)).every((level) => level.startsWith('ok')))
})

test('what would keep the application from working is a fault', (t) => {
  const poor = { ...info, limits: { ...unlimited, maximumQoS: 0 as const, wildcardSubscriptions: false } }
  t.like(levels(poor), { 'maximum QoS': 'fault 0', wildcards: 'fault no' })
  t.like(levels(poor, planFor('a/b')), { wildcards: 'ok no' })
})

test('what is only to be known is a note', (t) => {
  const limits = { ...unlimited, retainAvailable: false, keepaliveSeconds: 10 }
  const other = { ...info, subscriptionIdentifiers: false, maximumPacketSize: 100, limits }
  t.like(levels(other, planFor('a/+', '+/b')), {
    'subscription identifiers': 'note no',
    'maximum packet size': 'ok 100 bytes',
    'retained messages': 'note no',
    keepalive: 'note 10 s',
  })
  t.like(levels(other), { 'subscription identifiers': 'ok no' })
})

test('3.1.1 tells of no limits', (t) => {
  const four = { ...info, protocolVersion: 4 as const, subscriptionIdentifiers: false }
  t.deepEqual(Object.keys(levels(four)), ['protocol', 'subscription identifiers'])
})
