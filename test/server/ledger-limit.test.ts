import test from 'ava'
import type { CrashLedger, Noted } from '../../lib/core/crash-ledger.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { mqttasgi } from '../../lib/core/application.ts'
import { withLedgerLimit } from '../../lib/server/ledger-limit.ts'
import { FakeClock, settled } from '../helpers/fake-clock.ts'
import { stageServer } from '../helpers/staged-server.ts'

const noted = (deaths: number): Noted => ({ deaths, wasRepeat: false })

/** A ledger whose answers come when the test says. */
function slowLedger(): CrashLedger & { answers: Deferred<Noted>[]; ended: boolean } {
  const ledger = {
    name: 'a slow disk',
    endedCleanly: false,
    known: 0,
    knows: (key: string) => key === 'known',
    answers: [] as Deferred<Noted>[],
    ended: false,
    begin: () => {
      const answer = new Deferred<Noted>()
      ledger.answers.push(answer)
      return answer.promise
    },
    settled: async () => {},
    cleanEnd: async () => void (ledger.ended = true),
    close: async () => {},
  }
  return ledger
}

test('an answer in time is given on, also where it is a refusal, and leaves no timer', async (t) => {
  const clock = new FakeClock()
  const ledger = slowLedger()
  const limited = withLedgerLimit(ledger, clock, 5_000)
  const asked = [limited.begin('a', false), limited.begin('b', false)]
  ledger.answers[0]?.resolve(noted(2))
  ledger.answers[1]?.reject(new Error('no room'))
  t.is((await asked[0])?.deaths, 2)
  await t.throwsAsync(asked[1]!, { message: 'no room' })
  t.is(clock.timers, 0)
  Object.assign(ledger, { known: 3 })
  t.is(limited.known, 3)
  t.deepEqual([limited.knows('known'), limited.knows('unknown')], [true, false])
  await limited.cleanEnd()
  await limited.settled('a')
  await limited.close()
  t.true(ledger.ended)
})

test('what is overdue is not waited for, nor anything behind it until it has come', async (t) => {
  const clock = new FakeClock()
  const ledger = slowLedger()
  const limited = withLedgerLimit(ledger, clock, 5_000)
  const late = t.throwsAsync(limited.begin('a', false), { message: 'it has not answered within 5 s.' })
  clock.advance(5_000)
  await late
  await t.throwsAsync(limited.begin('b', false))
  t.is(ledger.answers.length, 1)
  ledger.answers[0]?.resolve(noted(0))
  await settled()
  const asked = limited.begin('b', false)
  ledger.answers[1]?.resolve(noted(1))
  t.is((await asked).deaths, 1)
  t.is(clock.timers, 0)
})

test('while the disk of the crash ledger hangs, messages are held up once and then handled', async (t) => {
  const handled: string[] = []
  const app = mqttasgi()
  app.topic('+x', (ctx) => void handled.push(ctx.topic))
  const ledger = slowLedger()
  const { clock, lines, server, transport } = stageServer(t, app, { crashLedger: ledger, sessionLasts: true })
  await server.start()
  for (const topic of ['a', 'b', 'c']) transport.deliver(topic)
  await settled()
  t.deepEqual(handled, [])
  clock.advance(5_000)
  await settled()
  t.deepEqual(handled, ['a', 'b', 'c'])
  t.is(lines.filter((line) => line.includes('it has not answered within 5 s')).length, 1)
})

test('a message that the ledger is still asked about at the drain limit is not begun any more', async (t) => {
  const app = mqttasgi()
  let runs = 0
  app.topic('a', () => void runs++)
  const ledger = slowLedger()
  const { clock, server, transport } = stageServer(t, app, { crashLedger: ledger, sessionLasts: true })
  await server.start()
  transport.deliver('a')
  await settled()
  const stopping = server.stop()
  await settled()
  clock.advance(1_000)
  ledger.answers[0]?.resolve(noted(0))
  await settled()
  t.deepEqual(await stopping, { clean: false, unsettled: 0 })
  t.is(runs, 0)
})
