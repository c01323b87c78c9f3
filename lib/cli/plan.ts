// mqttasgi plan: what the broker would be told, which routes each filter is for, and what overlaps.
import type { Settings } from '../config/settings.ts'
import { type Command, configure } from './command.ts'
import { exitCodes } from './exit-codes.ts'
import { interestsOf, knownLater, noneKnown, type Placed, placedApplications, titleOf } from './placed.ts'
import { type PlanReport, type PlannedSubscription, type Placement, reportPlan } from './plan-report.ts'

/** Prints the plan for MQTT 5 and for 3.1.1, or for the version that is set; connects to nothing. */
export const plan: Command = async (context) => {
  const { invocation, terminal } = context
  const configured = await configure(context)
  const { settings } = configured
  const placed = await placedApplications(configured)
  const placements = placed.flatMap(placementsOf)
  const reports = versionsOf(settings).map((version) => reportPlan(placements, version, settings))
  const open = placed.filter((one) => one.open !== undefined)
  if (invocation.json === true) {
    const knownLaterOf = open.map(({ id }) => id)
    terminal.print(JSON.stringify({ plans: reports, knownLater: knownLaterOf }, undefined, 2))
  } else {
    const nothing = noneKnown(placed) ?? 'nothing is subscribed: app.topic(pattern, handler) adds a route'
    terminal.print(reports.flatMap((report) => linesOf(report, nothing)).join('\n'))
    for (const one of open) terminal.print(`${titleOf(one)}\n${knownLater(one)}`)
  }
  // What one version can not do the other may: the broker decides which it will be.
  return reports.every(({ fault }) => fault !== null) ? exitCodes.config : exitCodes.clean
}

/** What each receiver wants. */
export function placementsOf(placed: Placed): readonly Placement[] {
  return interestsOf(placed).map((interest) => ({ receiver: placed.id, interest }))
}

function versionsOf({ broker }: Settings): readonly (4 | 5)[] {
  return broker.protocolVersion === 'auto' ? [5, 4] : [broker.protocolVersion]
}

function linesOf(
  { fault, moreOverlaps, overlaps, protocolVersion, subscriptions }: PlanReport,
  nothing: string,
): string[] {
  const title =
    protocolVersion === 5
      ? 'MQTT 5, with Subscription Identifiers'
      : 'MQTT 3.1.1, and MQTT 5 without Subscription Identifiers'
  return [
    title,
    ...(fault === null ? [] : [`   the start would fail: ${fault.message} (${fault.code})`]),
    ...subscriptions.flatMap(subscriptionLines),
    ...(subscriptions.length === 0 && fault === null ? [`   ${nothing}`] : []),
    ...(overlaps.length > 0 ? ['   overlaps'] : []),
    ...overlaps.map(
      ({ filters: [one, other], meaning, topic }) => `      ${one} and ${other}, as on ${topic}: ${meaning}`,
    ),
    ...(moreOverlaps ? ['      and more'] : []),
    '',
  ]
}

function subscriptionLines(planned: PlannedSubscription): string[] {
  const { filter, identifier, noLocal, qos, retainAsPublished, retainHandling, serves, why } = planned
  const about = [
    `qos ${qos}`,
    ...(noLocal ? ['noLocal'] : []),
    ...(retainHandling === 0 ? [] : [`retainHandling ${retainHandling}`]),
    ...(retainAsPublished ? ['retainAsPublished'] : []),
    ...(identifier === null ? [] : [`identifier ${identifier}`]),
  ]
  return [
    `   ${filter}  ${about.join(', ')}`,
    ...serves.map(
      ({ receiver, route }) =>
        `      for ${route}${receiver === 'application' ? '' : ` of worker ${receiver}`}`,
    ),
    ...why.map((reason) => `      ${reason}`),
  ]
}
