// Opens what outlives a process as the settings ask for it: outbox, QoS 2 exchanges, crash ledger, dead letters.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Settings } from './config/settings.ts'
import type { CrashLedger } from './core/crash-ledger.ts'
import { toError } from './core/errors.ts'
import type { ExchangeStore } from './core/exchange-store.ts'
import type { RecalledFilters } from './core/filter-memory.ts'
import type { Logger } from './core/log.ts'
import { ExchangeJournal } from './durable/exchange-journal.ts'
import { FilterFile } from './durable/filter-file.ts'
import { JournalCrashLedger } from './durable/journal-crash-ledger.ts'
import { JournalOutbox, outboxesElsewhere, outboxFolder } from './durable/journal-outbox.ts'
import type { DeadLetterPlan } from './durable/open-dead-letters.ts'
import type { DurableOutbox } from './server/letter-keeper.ts'
import { systemClock } from './system-clock.ts'

/** What was opened. */
export interface Stores {
  readonly durableOutbox: DurableOutbox | undefined
  readonly exchanges: ExchangeStore | undefined
  readonly crashLedger: CrashLedger | undefined
  /** Those that nobody else closes. This process has ended well: no message it has in hand has killed it. */
  close(): Promise<void>
}

/**
 * `ownsConnection`: the connection is made here too, and closes the exchanges with itself. Codes: `ERR_JOURNAL_*`.
 * What was opened before one that fails is closed again.
 */
export async function openStores(
  settings: Settings,
  { log, ownsConnection }: { readonly log: Logger; readonly ownsConnection: boolean },
): Promise<Stores> {
  const durableOutbox = await openOutbox(settings, log)
  let exchanges: ExchangeStore | undefined
  try {
    if (ownsConnection) exchanges = await openExchanges(settings, log)
  } catch (error) {
    await durableOutbox?.store.close()
    throw error
  }
  const crashLedger = await openCrashLedger(settings, log)
  return {
    durableOutbox,
    exchanges,
    crashLedger,
    close: async () => {
      try {
        await crashLedger?.cleanEnd()
      } finally {
        await crashLedger?.close()
      }
    },
  }
}

/** What the settings say of dead letters, with the password that is needed to get at them. */
export function deadLetterPlan({ deadLetter, stateDir }: Settings): DeadLetterPlan {
  const { redis, ...rest } = deadLetter
  return { ...rest, stateDir, redis: redis && { url: redis.url.reveal(), address: redis.address } }
}

/** What older processes have left in a session that lasts. Where that can not be read, nothing is known of it. */
export async function recallFilters(settings: Settings, log: Logger): Promise<RecalledFilters | undefined> {
  const memory = filterMemoryOf(settings)
  if (memory === undefined) return undefined
  try {
    return { memory, left: await memory.recall() }
  } catch (error) {
    log.warn(
      `Which filters an older process has left in the session is not known: ${toError(error).message} Those that nobody wants any more stay in it.`,
      { error },
    )
    return { memory, left: [] }
  }
}

/** Where the filters of a session that lasts are remembered. Nothing is opened. */
export function filterMemoryOf({ broker, stateDir }: Settings): FilterFile | undefined {
  const { address, clean, clientId } = broker
  return clean ? undefined : new FilterFile({ folder: stateDir, clientId, broker: address })
}

async function openOutbox(
  { broker, outbox, stateDir }: Settings,
  log: Logger,
): Promise<DurableOutbox | undefined> {
  if (!outbox.durable) return undefined
  const folder = outboxFolder(stateDir, broker.address)
  const store = await JournalOutbox.open({ folder })
  try {
    for (const other of await outboxesElsewhere(folder)) {
      log.warn(
        `What waits for another broker stays where it is, in ${other.folder} (${other.count}). If this is the same one at a new address, stop, and move its numbered folders to free numbers in ${folder}.`,
      )
    }
    return { store, left: await store.load() }
  } catch (error) {
    await store.close()
    throw error
  }
}

// A clean session ends with its connection, and so does what could be known of its exchanges.
async function openExchanges(settings: Settings, log: Logger): Promise<ExchangeStore | undefined> {
  if (settings.qos2 !== 'durable' || settings.broker.clean) return undefined
  return ExchangeJournal.open({ folder: sessionFolder(settings, 'qos2'), clock: systemClock, log })
}

// Without a session that lasts no message comes again, so none can kill a second process. Where there is no
// place to note it, messages are handled all the same.
async function openCrashLedger(settings: Settings, log: Logger): Promise<CrashLedger | undefined> {
  if (settings.broker.clean) return undefined
  try {
    return await JournalCrashLedger.open({ folder: sessionFolder(settings, 'crash-ledger') })
  } catch (error) {
    log.warn(
      `A message that kills the process would not be found out, for it can not be noted: ${toError(error).message}`,
      { error },
    )
    return undefined
  }
}

/** For the session of this client id at this broker. */
function sessionFolder({ broker, stateDir }: Settings, name: string): string {
  const session = createHash('sha256').update(`${broker.address}\n${broker.clientId}`).digest('base64url')
  return join(stateDir, name, session)
}
