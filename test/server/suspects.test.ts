import test from 'ava'
import type { CrashLedger, Noted } from '../../lib/core/crash-ledger.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { silentLog } from '../../lib/core/log.ts'
import type { QoS } from '../../lib/core/message.ts'
import { messageKey } from '../../lib/server/message-key.ts'
import { Suspects, type SuspectMessage } from '../../lib/server/suspects.ts'
import { settled } from '../helpers/fake-clock.ts'
import { arrival, Stage } from '../helpers/dispatcher-stage.ts'

function message(payload: string, more: { dup?: boolean; qos?: QoS } = {}): SuspectMessage {
  return { topic: 'a', payload: Buffer.from(payload), qos: 1, dup: false, ...more }
}

/** A ledger in memory. `noted` says what is in it of a key. */
function ledgerOf(
  endedCleanly: boolean,
  noted: (key: string) => Noted | undefined = () => undefined,
): CrashLedger & { open: Set<string> } {
  const open = new Set<string>()
  return {
    name: 'in memory',
    endedCleanly,
    open,
    known: 1,
    knows: (key) => noted(key) !== undefined,
    begin: async (key, isRepeat) => {
      open.add(key)
      return noted(key) ?? { deaths: 0, wasRepeat: isRepeat }
    },
    settled: async (key) => void open.delete(key),
    cleanEnd: async () => {},
    close: async () => {},
  }
}

test('after a clean end nothing is suspected', (t) => {
  const lines: string[] = []
  const log = { ...silentLog, warn: (line: string) => void lines.push(line) }
  const suspects = new Suspects(ledgerOf(true), 32, log)
  t.deepEqual(lines, [])
  t.false(new Suspects(ledgerOf(false), 32, log).isInHand)
  t.regex(lines.join(), /^The last process did not end .* one at a time\./)
  t.false(suspects.isInHand)
  t.false(suspects.suspects(message('1', { dup: true })))
})

test('after an unclean end it is the first ones, and what was sent before, whenever that comes', (t) => {
  const suspects = new Suspects(ledgerOf(false), 2, silentLog)
  t.false(suspects.suspects(message('0', { qos: 0 })))
  t.false(suspects.isInHand)
  t.true(suspects.suspects(message('1')))
  t.true(suspects.suspects(message('2', { dup: true })))
  t.false(suspects.suspects(message('3')))
  t.true(suspects.suspects(message('4', { dup: true })))
  t.false(suspects.suspects(message('5')))
  for (const payload of ['1', '2', '4']) {
    t.true(suspects.isInHand)
    suspects.settled(message(payload))
  }
  t.false(suspects.isInHand)
})

test('what a process has died of is a suspect whenever it comes, also after a clean end', (t) => {
  const known = messageKey(message('poison'))
  const suspects = new Suspects(
    ledgerOf(true, (key) => (key === known ? { deaths: 3, wasRepeat: true } : undefined)),
    2,
    silentLog,
  )
  t.false(suspects.suspects(message('other', { dup: true })))
  t.true(suspects.suspects(message('poison')))
})

test('one that is left to the broker is a suspect also when others that were done with come again before it', (t) => {
  const suspects = new Suspects(ledgerOf(false), 2, silentLog)
  t.true(suspects.suspects(message('1')))
  t.true(suspects.suspects(message('2')))
  suspects.settled(message('1'))
  suspects.leftToTheBroker(message('2'))
  t.true(suspects.suspects(message('1', { dup: true })))
  t.true(suspects.suspects(message('2', { dup: true })))
  t.false(suspects.suspects(message('3')))
})

test('on each connection it is the first ones again: a broker may not say that it has sent them before', (t) => {
  const suspects = new Suspects(ledgerOf(false), 1, silentLog)
  t.true(suspects.suspects(message('1')))
  t.false(suspects.suspects(message('2')))
  suspects.connected()
  t.true(suspects.suspects(message('2')))
  t.false(suspects.suspects(message('3')))
  const well = new Suspects(ledgerOf(true), 1, silentLog)
  well.connected()
  t.false(well.suspects(message('1')))
})

test('the crash that nobody had noted counts for what was sent before, and where nothing is ever marked so', async (t) => {
  const count = (noted: Noted, dup: boolean): Promise<number> =>
    new Suspects(
      ledgerOf(false, () => noted),
      9,
      silentLog,
    ).begin(message('1', { dup }))
  t.is(await count({ deaths: 0, wasRepeat: true }, true), 0)
  t.is(await count({ deaths: 2, wasRepeat: true }, true), 3)
  t.is(await count({ deaths: 2, wasRepeat: false }, false), 3)
  t.is(await count({ deaths: 2, wasRepeat: false }, true), 2)
})

test('a ledger that fails is said once, and nothing is held up', async (t) => {
  const lines: string[] = []
  const broken = { ...ledgerOf(false), begin: () => Promise.reject(new Error('disk full')) }
  const suspects = new Suspects(broken, 9, { ...silentLog, error: (line) => void lines.push(line) })
  t.is(await suspects.begin(message('1')), 0)
  t.is(await suspects.begin(message('2')), 0)
  t.is(lines.length, 1)
  t.regex(lines[0] ?? '', /in memory.*disk full/)
})

test('suspects run one at a time, with nothing beside them, and are forgotten when they are done', async (t) => {
  const ledger = ledgerOf(false)
  const suspects = new Suspects(ledger, 2, silentLog)
  const stage = new Stage({ suspects })
  for (let i = 1; i <= 3; i++) stage.dispatcher.arrived(arrival(i, `${i}`, { dup: i < 3 }))
  await stage.turn()
  t.deepEqual(stage.running, ['1'])
  t.is(ledger.open.size, 1)
  await stage.end('1')
  await stage.turn()
  t.deepEqual(stage.running, ['2'])
  await stage.end('2')
  await stage.turn()
  stage.dispatcher.arrived(arrival(4, '4'))
  t.deepEqual(stage.running, ['3', '4'])
  t.is(ledger.open.size, 0)
  await stage.end('3')
  await stage.end('4')
  t.deepEqual(stage.acked, [1, 2, 3, 4])
})

test('what three processes died of is kept as a dead letter without being run, and none of its neighbours', async (t) => {
  const keys = new Map<string, string>()
  const ledger = ledgerOf(false, (key) =>
    keys.get('poison') === key ? { deaths: 2, wasRepeat: true } : undefined,
  )
  const probe = new Suspects(
    {
      ...ledger,
      begin: async (key, isRepeat) => (keys.set('poison', key), { deaths: 0, wasRepeat: isRepeat }),
    },
    1,
    silentLog,
  )
  await probe.begin({ topic: 'poison', payload: Buffer.from('poison'), qos: 1, dup: true })
  const buried: string[] = []
  const stage = new Stage({
    suspects: new Suspects(ledger, 32, silentLog),
    bury: async (payload, { cause }) => void buried.push(`${payload} ${cause}`),
  })
  for (const [i, payload] of ['before', 'poison', 'behind'].entries()) {
    stage.dispatcher.arrived(arrival(i + 1, payload, { dup: true }))
  }
  await stage.turn()
  await stage.end('before')
  await stage.turn()
  await stage.turn()
  await stage.end('behind')
  t.deepEqual(buried, ['poison crashed'])
  t.deepEqual(stage.started, ['before', 'behind'])
  t.deepEqual(stage.acked, [1, 2, 3])
})

test('a stop waits for a suspect that is being looked up', async (t) => {
  const stage = new Stage({ suspects: new Suspects(ledgerOf(false), 9, silentLog) })
  stage.dispatcher.arrived(arrival(1, '1'))
  let drained = false
  const draining = stage.dispatcher.drain('drop').then(() => (drained = true))
  await stage.turn()
  t.false(drained)
  await stage.end('1')
  await draining
  t.deepEqual(stage.acked, [1])
})

test('what was sent before is suspected also when nothing else is in hand, and behind new ones', async (t) => {
  const ledger = ledgerOf(false)
  const stage = new Stage({ maxInFlight: 1, suspects: new Suspects(ledger, 1, silentLog) })
  stage.dispatcher.arrived(arrival(1, '1'))
  await stage.turn()
  t.is(ledger.open.size, 1)
  await stage.end('1')
  stage.dispatcher.arrived(arrival(2, '2'))
  await stage.turn()
  t.is(ledger.open.size, 0)
  await stage.end('2')
  stage.dispatcher.arrived(arrival(3, '3', { dup: true }))
  await stage.turn()
  t.is(ledger.open.size, 1)
  t.deepEqual(stage.running, ['3'])
})

test('what is kept for its crashes stays noted until its acknowledgement has been written', async (t) => {
  const ledger = ledgerOf(false, () => ({ deaths: 3, wasRepeat: true }))
  const stage = new Stage({
    suspects: new Suspects(ledger, 1, silentLog),
    bury: () => Promise.resolve(),
  })
  stage.dispatcher.arrived(arrival(1, 'poison', { dup: true }))
  await settled()
  stage.dispatcher.disconnected()
  await stage.turn()
  t.is(ledger.open.size, 1)
  stage.dispatcher.connected(true)
  stage.dispatcher.arrived(arrival(2, 'poison', { dup: true }))
  await stage.turn()
  t.deepEqual(stage.acked, [2])
  t.is(ledger.open.size, 0)
  t.deepEqual(stage.started, [])
})

test('what is kept for its crashes is forgotten with the session that would have sent it again', async (t) => {
  const ledger = ledgerOf(false, () => ({ deaths: 3, wasRepeat: true }))
  const stage = new Stage({ suspects: new Suspects(ledger, 1, silentLog), bury: () => Promise.resolve() })
  stage.dispatcher.arrived(arrival(1, 'poison', { dup: true }))
  await settled()
  stage.dispatcher.disconnected()
  stage.dispatcher.connected(false)
  await stage.turn()
  t.is(ledger.open.size, 0)
})

test('what is being kept for its crashes when its session is lost is forgotten when it is kept', async (t) => {
  const ledger = ledgerOf(false, () => ({ deaths: 3, wasRepeat: true }))
  const kept = new Deferred()
  const stage = new Stage({ suspects: new Suspects(ledger, 1, silentLog), bury: () => kept.promise })
  stage.dispatcher.arrived(arrival(1, 'poison', { dup: true }))
  await settled()
  stage.dispatcher.disconnected()
  stage.dispatcher.connected(false)
  await stage.turn()
  t.is(ledger.open.size, 1)
  kept.resolve()
  await stage.turn()
  t.is(ledger.open.size, 0)
})

test('messages of QoS 0 run beside each other while suspects are waited for, and none of them beside one', async (t) => {
  const suspects = new Suspects(ledgerOf(false), 2, silentLog)
  const stage = new Stage({ suspects })
  for (const payload of ['a', 'b']) stage.dispatcher.arrived(arrival(0, payload))
  t.deepEqual(stage.running, ['a', 'b'])
  stage.dispatcher.arrived(arrival(1, 's'))
  stage.dispatcher.arrived(arrival(0, 'c'))
  await stage.end('a')
  t.deepEqual(stage.running, ['b'])
  await stage.end('b')
  t.deepEqual(stage.running, ['s'])
  await stage.end('s')
  t.deepEqual(stage.running, ['c'])
  stage.dispatcher.arrived(arrival(0, 'd'))
  t.deepEqual(stage.running, ['c', 'd'])
})
