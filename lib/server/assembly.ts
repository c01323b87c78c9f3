// Puts the workings of a server together: who is told of what by whom.
import { reconnectBackoff } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import type { MqttasgiError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import { traceSettled } from '../core/trace.ts'
import type { Arrival, Transport } from '../transport/transport.ts'
import { withAnswerLimit } from './answer-limit.ts'
import { Copies, type CopyVerdict } from './copies.ts'
import type { Counters } from './counters.ts'
import { DeadLetters } from './dead-letters.ts'
import { Dispatcher, type DispatcherParts } from './dispatcher.ts'
import type { Slot } from './job.ts'
import { withLedgerLimit } from './ledger-limit.ts'
import { Newcomers } from './newcomers.ts'
import { Outbox } from './outbox.ts'
import { Recipients } from './recipients.ts'
import { Requests, type AskedBroker } from './requests.ts'
import type { Roster } from './roster.ts'
import type { ServerParts } from './server-parts.ts'
import { settlementLine } from './settlement.ts'
import { ShareCheck } from './share-check.ts'
import { ShareProbe } from './share-probe.ts'
import { StaleFilters } from './stale-filters.ts'
import { Subscriber } from './subscriber.ts'
import { Suspects } from './suspects.ts'

const PROBE = { type: 'probe' } as const
const ANSWER_LIMIT_MS = 30_000
const LEDGER_LIMIT_MS = 5_000

/** What the server itself brings. */
export interface Frame {
  readonly roster: Roster
  readonly clock: Clock
  readonly counters: Counters
  /** The broker does not answer a request. */
  readonly unanswered: (error: MqttasgiError) => void
}

/** What does the work. */
export interface Workings {
  readonly subscriber: Subscriber
  readonly newcomers: Newcomers
  readonly dispatcher: Dispatcher
  readonly outbox: Outbox
  readonly deadLetters: DeadLetters | undefined
}

/** Throws what the receivers' subscriptions contradict each other in. */
export function assemble(parts: ServerParts, { clock, counters, roster, unanswered }: Frame): Workings {
  const { log } = parts
  const recipients = new Recipients<Slot>(() => roster.wishes)
  roster.onChange(() => recipients.changed())
  const copies = new Copies()
  const deadLetters = deadLettersOf(parts, clock)
  const stale = new StaleFilters({ recalled: parts.filterMemory, log, now: () => clock.now(), counters })
  const requests = new Requests(parts.transport, () => dispatcher.relieve())
  const asked = requests.broker
  const probe = shareProbeOf(parts, asked, clock)
  const newcomers = new Newcomers({
    now: () => clock.now(),
    holdsRetained: () => dispatcher.holdsRetained,
  })
  const dispatcher: Dispatcher = new Dispatcher({
    port: portOf(parts.transport, () => requests.areAwaited(subscriber.isWaitedFor || dispatcher.holdsBack)),
    recipients,
    isAnswerDue: () => roster.slots.some(({ receiver }) => receiver.isAnswerDue === true),
    isOwn: ({ topic }) => topic === parts.shareProbeTopic,
    newcomers,
    copies: { judge: judgeOf(copies, probe, stale) },
    counters,
    limits: parts.window,
    maxTopicLevels: parts.maxTopicLevels,
    keepsRetain: () => subscriber.keepsRetain,
    clock,
    random: Math.random,
    log,
    suspects: suspectsOf(parts, clock),
    bury: deadLetters && ((job, burial) => deadLetters.bury(job, burial)),
    report: reportTo(counters, log),
    defer: (callback) => void setImmediate(callback),
  })
  const subscriber = new Subscriber({
    broker: withAnswerLimit({
      broker: asked,
      clock,
      limitMs: ANSWER_LIMIT_MS,
      isHeld: () => dispatcher.isHeld,
      late: unanswered,
    }),
    waitedFor: () => dispatcher.relieve(),
    roster,
    copies,
    newcomers,
    log,
    overlap: parts.overlap,
    highestQoS: parts.highestQoS,
    own: parts.own,
    shareCheck: probe && new ShareCheck(probe, log),
    stale,
  })
  const outbox = new Outbox({
    send: (topic, payload, options) => asked.publish(topic, payload, options),
    policy: parts.outbox,
    counters,
    clock,
    log,
    durable: parts.durableOutbox,
    wallNow: Date.now,
  })
  return { subscriber, newcomers, dispatcher, outbox, deadLetters }
}

function portOf(transport: Transport, areAwaited: () => boolean): DispatcherParts['port'] {
  return {
    settled: (packetId) => transport.settled?.(packetId),
    acknowledge: (packetIds, reasonCodes) => transport.acknowledge(packetIds, reasonCodes),
    pause: () => transport.pause(),
    resume: () => transport.resume(),
    cut: (failure) => transport.cut(failure),
    get awaiting() {
      return transport.awaiting && areAwaited()
    },
  }
}

function shareProbeOf(
  { shareProbeTopic: topic }: ServerParts,
  broker: AskedBroker,
  clock: Clock,
): ShareProbe | undefined {
  return topic === undefined ? undefined : new ShareProbe({ broker, clock, topic })
}

function deadLettersOf(
  { clientId = '', deadLetters: store, log }: ServerParts,
  clock: Clock,
): DeadLetters | undefined {
  if (store === undefined) return undefined
  return new DeadLetters({
    store,
    clientId,
    backoff: reconnectBackoff(Math.random),
    clock,
    wallClock: Date.now,
    log,
  })
}

function suspectsOf({ crashLedger, log, window }: ServerParts, clock: Clock): Suspects | undefined {
  if (crashLedger === undefined) return undefined
  return new Suspects(withLedgerLimit(crashLedger, clock, LEDGER_LIMIT_MS), window.maxInFlight, log)
}

// Asked for every message: it makes nothing.
function judgeOf(
  copies: Copies,
  probe: ShareProbe | undefined,
  stale: StaleFilters,
): (arrival: Arrival) => CopyVerdict | typeof PROBE {
  return (arrival) => {
    if (probe?.takes(arrival)) return PROBE
    if (copies.isStale(arrival)) stale.came(arrival.topic)
    return copies.judge(arrival)
  }
}

function reportTo(counters: Counters, log: Logger): DispatcherParts['report'] {
  return (job, settlement) => {
    const { arrival } = job.delivery
    counters[settlement.type]++
    traceSettled(job.slot.receiver.id, arrival, job.plan.routes, settlement)
    const { error, route } = settlement
    if (error === undefined) return
    const fields = { topic: arrival.topic, route, receiver: job.slot.receiver.id, error }
    log[settlement.type === 'dropped' ? 'info' : 'error'](settlementLine(arrival.topic, settlement), fields)
  }
}
