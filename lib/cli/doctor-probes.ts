// What a broker really does, tried on topics that nobody else uses: filters, copies, shared subscriptions, sessions.
import { randomBytes } from 'node:crypto'
import type { Settings } from '../config/settings.ts'
import { sharedFilter } from '../core/topic.ts'
import { ShareProbe, shareFault } from '../server/share-probe.ts'
import { systemClock } from '../system-clock.ts'
import { reasonText } from '../transport/reason-codes.ts'
import type { ConnectionInfo } from '../transport/transport.ts'
import { type Answer, type DoctorClient, isConnected } from './doctor-client.ts'
import { type Finding, fault, note, ok } from './findings.ts'
import type { PlanReport } from './plan-report.ts'

/** What is tried, and with what. */
export interface Trial {
  readonly client: DoctorClient
  readonly info: ConnectionInfo
  readonly plan: PlanReport
  /** A topic below which nobody else publishes. */
  readonly topic: string
}

/** Copies of one message come right behind each other. */
const LISTEN_MS = 500

/**
 * Each filter is asked for as the server would, and given back. Shared ones are not: whoever joins a group
 * takes messages from its members.
 */
export async function filterFindings({ client, plan }: Trial): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const { filter, qos } of plan.subscriptions) {
    if (sharedFilter(filter) !== null) continue
    const code = await client.subscribe(filter, qos)
    const name = `filter ${filter}`
    if (code === undefined) {
      findings.push(
        fault(name, 'no answer', 'the broker does not answer SUBSCRIBE, or ends the connection over it'),
      )
      if (client.failure !== undefined) return findings
    } else if (code >= 0x80) {
      findings.push(
        fault(
          name,
          'refused',
          `${reasonText(code)}; the start fails: check what this client may subscribe to`,
        ),
      )
    } else if (code < qos) {
      findings.push(
        fault(name, `QoS ${code}`, `QoS ${qos} was asked for; the start fails, for messages could be lost`),
      )
    } else {
      findings.push(ok(name, `QoS ${code}`, 'granted as asked for'))
    }
    if (code !== undefined && code < 0x80) await client.unsubscribe(filter)
  }
  return findings
}

/** Two filters of different QoS and one publication: how many copies come, and with which QoS. */
export async function copyFindings({ client, info, topic }: Trial): Promise<Finding[]> {
  const name = 'copies on overlap'
  const [wide, narrow] = [`${topic}/+`, `${topic}/copy`]
  const came: Answer[] = []
  if ((await client.subscribe(wide, 0)) !== 0 || (await client.subscribe(narrow, 1)) !== 1) {
    return [
      note(
        name,
        'not tried',
        `this client may not subscribe to ${wide}; broker.shareProbe names another topic`,
      ),
    ]
  }
  client.heard = (answer) => void (answer.topic === narrow && came.push(answer))
  await client.publish(narrow, Buffer.from('doctor'))
  await new Promise<void>((resolve) => void systemClock.after(LISTEN_MS, resolve))
  client.heard = () => {}
  await client.unsubscribe(wide)
  await client.unsubscribe(narrow)
  const qos = came.map((one) => one.qos).join(' and ')
  if (came.length === 0)
    return [note(name, 'none came', `this client may not publish to ${narrow}, or the broker is slow`)]
  if (came.length === 1) {
    return [
      ok(
        name,
        `1, with QoS ${qos}`,
        'the broker sends one copy; overlapping filters are asked for with one QoS, so it is as sure as wanted',
      ),
    ]
  }
  const meaning = info.subscriptionIdentifiers
    ? 'one for each filter; the identifiers say which is which, and the chain runs once'
    : 'one for each filter, and nothing tells them apart: where your filters overlap each copy runs; see mqttasgi plan'
  return [(info.subscriptionIdentifiers ? ok : note)(name, `${came.length}, with QoS ${qos}`, meaning)]
}

/** Whether a group gets what is published to it. */
export async function shareFindings({ client, info, plan, topic }: Trial): Promise<Finding[]> {
  const name = 'shared subscriptions'
  const wanted = plan.subscriptions.filter(({ filter }) => sharedFilter(filter) !== null)
  const names = wanted.map(({ filter }) => filter).join(', ')
  const bad = wanted.length > 0 ? fault : ok
  const effect =
    wanted.length > 0 ? `${names} would bring nothing, so the start fails` : 'no route needs them'
  if (!info.sharedSubscriptions) return [bad(name, 'no', effect)]
  const probe = new ShareProbe({ broker: client.transport, clock: systemClock, topic: `${topic}/share` })
  client.heard = (answer) => void probe.takes(answer)
  const verdict = await probe.run()
  client.heard = () => {}
  const text = shareFault(verdict)
  if (text !== undefined) return [bad(name, 'only pretended', `${effect}. ${text}`)]
  if (verdict === 'works') return [ok(name, 'yes', 'tried with a group of one: the message came')]
  if (verdict === 'refused') return [bad(name, 'refused', effect)]
  return [
    note(
      name,
      'not known',
      `the probe on ${topic}/share did not come back; broker.shareProbe names another topic`,
    ),
  ]
}

/** Whether the broker says that nobody had subscribed (0x10), which dead letters on a topic need. */
export async function nobodyFindings(
  { client, info, topic }: Trial,
  { deadLetter }: Settings,
): Promise<Finding[]> {
  if (info.protocolVersion === 4) return []
  const name = 'no subscribers (0x10)'
  const result = await client.publish(`${topic}/nobody`, Buffer.from(randomBytes(4).toString('hex')))
  if (result === undefined)
    return [note(name, 'no answer', 'the publication to the probe topic was refused or not answered')]
  if (result.reasonCode === 0x10)
    return [ok(name, 'told', 'a dead letter on a topic that nobody reads is noticed')]
  const meaning = 'a publication that nobody reads looks as if it had arrived'
  return [(deadLetter.store === 'topic' ? fault : note)(name, 'not told', meaning)]
}

/** A session of its own, left and taken up again, and then ended for good. */
export async function sessionFindings(
  open: (clean: boolean) => DoctorClient,
  { info }: Pick<Trial, 'info'>,
  { broker }: Settings,
): Promise<Finding[]> {
  if (broker.clean) {
    return [
      note(
        'session',
        'clean',
        'what is published while the process is away is lost; clean: false with a clientId keeps it',
      ),
    ]
  }
  const present: boolean[] = []
  let expiry: number | undefined
  for (const clean of [false, false, true]) {
    const client = open(clean)
    const answer = await client.connect(info.protocolVersion)
    if (isConnected(answer)) {
      present.push(answer.sessionPresent)
      if (!clean) expiry ??= answer.limits.sessionExpirySeconds
    }
    await client.close()
  }
  const asked = broker.sessionExpirySeconds
  const findings = [
    present[1] === true
      ? ok(
          'session',
          'kept',
          'it was there again after a disconnect: what waits for us is delivered when we come back',
        )
      : fault(
          'session',
          'not kept',
          'it was gone after a disconnect: what is published while the process is away is lost',
        ),
  ]
  if (info.protocolVersion === 5 && expiry !== undefined && expiry < asked) {
    findings.push(
      fault(
        'session expiry',
        `${expiry} s`,
        `${asked} s were asked for; after an outage that is longer all is lost`,
      ),
    )
  } else if (info.protocolVersion === 5) {
    findings.push(
      ok('session expiry', `${expiry ?? asked} s`, 'the longest outage after which nothing is lost'),
    )
  }
  return findings
}
