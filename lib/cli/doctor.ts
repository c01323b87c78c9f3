// mqttasgi doctor: connects beside the running application and says what the broker grants, limits and misses.
import { randomBytes } from 'node:crypto'
import type { Settings } from '../config/settings.ts'
import { connectionTo } from '../connection.ts'
import { type CommandContext, type Command, configure } from './command.ts'
import { DoctorClient, isConnected } from './doctor-client.ts'
import { channelFinding, deadLetterFinding, folderFinding, staleFinding } from './doctor-home.ts'
import { limitFindings } from './doctor-limits.ts'
import {
  copyFindings,
  filterFindings,
  nobodyFindings,
  sessionFindings,
  shareFindings,
  type Trial,
} from './doctor-probes.ts'
import { exitCodes } from './exit-codes.ts'
import { fault, type Finding, findingLines, note } from './findings.ts'
import { type Placed, placedApplications } from './placed.ts'
import { placementsOf } from './plan.ts'
import { type Placement, type PlanReport, reportPlan } from './plan-report.ts'

/** Where shared subscriptions are tried, and all else, when nothing is said. */
const PROBE_TOPIC = 'mqttasgi/probe'

/** Exit code 0 when all is well, 1 when something would make `run` fail or lose messages. */
export const doctor: Command = async (context) => {
  const { invocation, terminal } = context
  const configured = await configure(context)
  const { settings } = configured
  const placed = await placedApplications(configured)
  const placements = placed.flatMap(placementsOf)
  const clientId = `${settings.broker.clientId}-doctor-${randomBytes(3).toString('hex')}`
  const { address } = settings.broker
  if (invocation.json !== true) {
    terminal.print(
      `${address}, as ${clientId}: a client of its own with a clean session, so that nothing is taken from what runs`,
    )
  }
  const findings = await examined({ context, settings, placed, placements, clientId })
  const isWell = findings.every(({ level }) => level !== 'fault')
  if (invocation.json === true) {
    terminal.print(JSON.stringify({ broker: address, clientId, ok: isWell, findings }, undefined, 2))
  } else {
    terminal.print(findingLines(findings).join('\n'))
  }
  return isWell ? exitCodes.clean : exitCodes.fatal
}

interface Patient {
  readonly context: CommandContext
  readonly settings: Settings
  readonly placed: readonly Placed[]
  readonly placements: readonly Placement[]
  readonly clientId: string
}

async function examined(patient: Patient): Promise<Finding[]> {
  const { placed, placements, settings } = patient
  const open = opener(patient)
  const client = open(true)
  try {
    const info = await client.connect(settings.broker.protocolVersion)
    if (!isConnected(info)) {
      const failed = fault('connection', 'failed', info.message)
      return [failed, ...(await atHome(settings, reportPlan(placements, 5, settings)))]
    }
    const plan = reportPlan(placements, info.subscriptionIdentifiers ? 5 : 4, settings)
    const topic = `${settings.broker.shareProbe ?? PROBE_TOPIC}/${randomBytes(6).toString('hex')}`
    const trial: Trial = { client, info, plan, topic }
    return [
      ...limitFindings(info, plan, settings),
      ...planFindings(plan),
      ...openFindings(placed),
      ...(await filterFindings(trial)),
      ...(await copyFindings(trial)),
      ...(await nobodyFindings(trial, settings)),
      ...(await shareFindings(trial)),
      ...(await sessionFindings(open, trial, settings)),
      durability(settings),
      ...(await atHome(settings, plan)),
    ]
  } finally {
    await client.close()
  }
}

function opener({ clientId, context, settings }: Patient): (clean: boolean) => DoctorClient {
  const secret = (password: string): void => context.terminal.hide(password)
  return (clean) => {
    const broker = { ...settings.broker, clientId, clean }
    return new DoctorClient(connectionTo({ ...settings, broker }, { secret }))
  }
}

function planFindings({ fault: planFault, overlaps }: PlanReport): Finding[] {
  if (planFault !== null) return [fault('plan', planFault.code, planFault.message)]
  if (overlaps.length === 0) return []
  const count = overlaps.length === 1 ? '1 pair' : `${overlaps.length} pairs`
  return [note('overlapping filters', count, 'mqttasgi plan names them, and says what it means')]
}

function openFindings(placed: readonly Placed[]): Finding[] {
  return placed.flatMap(({ id, open }) => {
    if (open === undefined) return []
    const name = id === 'application' ? id : `worker ${id}`
    return [note(name, open, 'what it subscribes to once it runs is not known here, and was not tried')]
  })
}

// Nobody can try it without killing the broker.
function durability({ broker }: Settings): Finding {
  const meaning = broker.clean
    ? 'a clean session ends with the connection, whatever the broker stores'
    : 'a broker that is killed keeps only what it has written: with mosquitto that takes persistence true, autosave_on_changes true, autosave_interval 1 and a max_queued_messages above the longest outage'
  return note('durability', 'not tried', meaning)
}

async function atHome(settings: Settings, plan: PlanReport): Promise<Finding[]> {
  const findings = [
    await staleFinding(settings, plan),
    await folderFinding(settings),
    await deadLetterFinding(settings),
    await channelFinding(settings),
  ]
  return findings.filter((finding) => finding !== undefined)
}
