// A limit for the answers of a crash ledger: a disk that never answers must not hold up the messages that it is asked about.
import type { Clock } from '../core/clock.ts'
import type { CrashLedger, Noted } from '../core/crash-ledger.ts'

/** The ledger, asked with a limit. Once an answer is overdue, nobody waits for another before that one has come. */
export function withLedgerLimit(ledger: CrashLedger, clock: Clock, limitMs: number): CrashLedger {
  let overdue = 0
  const late = (): Error => new Error(`it has not answered within ${limitMs / 1_000} s.`)
  const begin: CrashLedger['begin'] = (key, isRepeat) => {
    if (overdue > 0) return Promise.reject(late())
    return new Promise<Noted>((resolve, reject) => {
      let isLate = false
      const cancel = clock.after(limitMs, () => {
        isLate = true
        overdue++
        reject(late())
      })
      const answer = ledger.begin(key, isRepeat).finally(() => {
        cancel()
        if (isLate) overdue--
      })
      answer.then(resolve, reject)
    })
  }
  return {
    name: ledger.name,
    endedCleanly: ledger.endedCleanly,
    get known() {
      return ledger.known
    },
    knows: (key) => ledger.knows(key),
    begin,
    settled: (key) => ledger.settled(key),
    cleanEnd: () => ledger.cleanEnd(),
    close: () => ledger.close(),
  }
}
