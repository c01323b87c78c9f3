// Processes one after the other, with one crash ledger: each takes what the broker sends it, and may die of it.
import { JournalCrashLedger } from '../../lib/durable/journal-crash-ledger.ts'
import { silentLog } from '../../lib/core/log.ts'
import { Suspects } from '../../lib/server/suspects.ts'
import { arrival, Stage } from './dispatcher-stage.ts'
import { settled } from './fake-clock.ts'
import { MemoryDisk } from './memory-disk.ts'

/** What a broker sends: 'again x' is x, marked as sent before. */
export type Sent = string

export interface LifeOptions {
  readonly end?: 'stopped' | 'killed'
  readonly isCut?: boolean
}

/** How a process went. */
export interface Life {
  /** What it died of. */
  readonly diedOf: string | undefined
  readonly handled: readonly string[]
  /** Kept as dead letters without being run. */
  readonly quarantined: readonly string[]
}

export class Lives {
  readonly #first: number
  #disk = new MemoryDisk()

  /** `first`: how many messages a process may have in hand. */
  constructor(first: number) {
    this.#first = first
  }

  /**
   * A process dies when it runs what begins with "poison"; else it is told to stop, or killed. `isCut`: no
   * acknowledgement can be written.
   */
  async live(sent: readonly Sent[], { end = 'stopped', isCut = false }: LifeOptions = {}): Promise<Life> {
    const ledger = await JournalCrashLedger.open({
      folder: '/ledger',
      files: this.#disk,
      lock: () => ({ release() {} }),
    })
    const quarantined: string[] = []
    const stage = new Stage({
      maxInFlight: this.#first,
      suspects: new Suspects(ledger, this.#first, silentLog),
      writes: () => !isCut,
      bury: async (payload) => void quarantined.push(payload),
    })
    for (const [i, one] of sent.entries()) {
      const payload = one.replace('again ', '')
      stage.dispatcher.arrived(arrival(i + 1, payload, { dup: payload !== one }))
    }
    const handled: string[] = []
    const diedOf = await handle(stage, handled)
    if (diedOf === undefined && end === 'stopped') {
      await ledger.cleanEnd()
      await ledger.close()
    } else this.#disk = this.#disk.afterPowerLoss(Math.random)
    return { diedOf, handled, quarantined }
  }
}

/** Ends the handlers one after the other; gives what ends the process. */
async function handle(stage: Stage, handled: string[]): Promise<string | undefined> {
  for (let idle = 0; idle < 5; idle++) {
    await settled()
    await stage.turn()
    const poison = stage.started.find((payload) => payload.startsWith('poison'))
    if (poison !== undefined) return poison
    const [payload] = stage.running
    if (payload === undefined) continue
    handled.push(payload)
    await stage.end(payload)
    idle = 0
  }
  return undefined
}
