import test from 'ava'
import * as fc from 'fast-check'
import { reconnectBackoff } from '../../lib/core/backoff.ts'
import { ConnectionPolicy } from '../../lib/server/connection-policy.ts'
import { Takeovers } from '../../lib/server/takeovers.ts'
import type { ConnectionFailure } from '../../lib/transport/transport.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { SeededRandom } from '../helpers/seeded-random.ts'

const CLOSED: ConnectionFailure = { type: 'closed', message: 'It was closed.', idle: true }
const BROKEN: ConnectionFailure = { type: 'network', message: 'It was broken off.', idle: true }
const REFUSED: ConnectionFailure = { type: 'network', message: 'Nobody listens.' }
const TOLD: ConnectionFailure = { type: 'takeover', message: 'Taken over.', reasonCode: 0x8e }
const KEPT = { lost: false }

interface Stage {
  readonly rule: Takeovers
  readonly pass: (ms: number) => void
}

function stage(): Stage {
  let now = 0
  return { rule: new Takeovers(() => now, true), pass: (ms) => void (now += ms) }
}

for (const end of [CLOSED, BROKEN]) {
  test(`a connection that is ${end === CLOSED ? 'closed' : 'broken off'} soon, and closed once more though nothing was asked, was taken over`, (t) => {
    const { pass, rule } = stage()
    t.is(rule.connected(KEPT), 0)
    rule.asking()
    pass(4_999)
    t.is(rule.failed(end), 'suspected')
    t.is(rule.connected(KEPT), 50)
    pass(49)
    t.is(rule.failed(CLOSED), 'taken over')
  })
}

test('a quiet connection that is broken off proves nothing: a broker closes', (t) => {
  const { rule } = stage()
  rule.connected(KEPT)
  rule.asking()
  t.is(rule.failed(CLOSED), 'suspected')
  rule.connected(KEPT)
  t.is(rule.failed(BROKEN), 'none')
})

test('who was connected for long at some time gives way only when it is closed again and again', (t) => {
  const { pass, rule } = stage()
  rule.connected(KEPT)
  rule.asking()
  pass(5_000)
  t.is(rule.failed(CLOSED), 'none')
  rule.connected(KEPT)
  rule.asking()
  t.is(rule.failed(CLOSED), 'suspected')
  for (const verdict of ['suspected', 'suspected', 'taken over'] as const) {
    t.is(rule.connected(KEPT), 50)
    t.is(rule.failed(CLOSED), verdict)
  }
})

test('on a slow network somebody else is slow as well, and is given the time', (t) => {
  const { pass, rule } = stage()
  rule.connected(KEPT)
  rule.asking()
  rule.failed(CLOSED)
  pass(300)
  t.is(rule.connected(KEPT), 500)
})

test('who was connected for long was first, and is not the one that gives way', (t) => {
  const { pass, rule } = stage()
  rule.connected(KEPT)
  pass(5_000)
  t.is(rule.failed(CLOSED), 'none')
  t.is(rule.connected(KEPT), 0)
  pass(5_000)
  t.is(rule.failed(TOLD), 'none')
})

test('where the broker says so, one short connection is enough', (t) => {
  const { pass, rule } = stage()
  rule.connected(KEPT)
  pass(4_999)
  t.is(rule.failed(TOLD), 'taken over')
})

test('a broker that is not there after it has closed has restarted', (t) => {
  const { rule } = stage()
  rule.connected(KEPT)
  t.is(rule.failed(CLOSED), 'suspected')
  t.is(rule.failed(REFUSED), 'none')
  t.is(rule.connected(KEPT), 0)
  t.is(rule.failed(CLOSED), 'none')
})

test('a broker that has lost the session has restarted', (t) => {
  const { rule } = stage()
  rule.connected(KEPT)
  t.is(rule.failed(CLOSED), 'suspected')
  t.is(rule.connected({ lost: true }), 0)
  t.is(rule.failed(CLOSED), 'none')
})

test('a broker that ends the connection only when something is asked dislikes that', (t) => {
  const { pass, rule } = stage()
  for (let round = 0; round < 100; round++) {
    const quietMs = rule.connected(KEPT)
    pass(quietMs)
    rule.asking()
    t.not(rule.failed(CLOSED), 'taken over')
  }
})

test('a bad network that breaks off whatever moves is no other client', (t) => {
  const { pass, rule } = stage()
  for (let round = 0; round < 100; round++) {
    const quietMs = rule.connected(KEPT)
    pass(50)
    if (quietMs === 0) rule.asking()
    t.not(rule.failed({ type: 'closed', message: '' }), 'taken over')
  }
})

test('a broker that gives another reason is believed', (t) => {
  const { rule } = stage()
  for (const type of ['timeout', 'overflow', 'protocol'] as const) {
    rule.connected(KEPT)
    t.is(rule.failed({ type, message: '' }), 'none')
  }
  rule.connected(KEPT)
  t.is(rule.failed({ ...CLOSED, reasonCode: 0x8b }), 'none')
})

test('the proof is made every five seconds at most, for it comes without a wait', (t) => {
  const { pass, rule } = stage()
  let proofs = 0
  for (let ms = 0; ms < 60_000; ms += 1_000) {
    rule.connected(KEPT)
    rule.asking()
    if (rule.failed(CLOSED) === 'suspected') proofs++
    pass(1_000)
  }
  t.is(proofs, 12)
})

/** One broker and the clients that fight for one id on it. */
class Fight {
  readonly clock = new FakeClock()
  takeovers = 0
  /** The names of those that have stopped, in order. */
  readonly stopped: string[] = []
  holder: Fighter | undefined = undefined
  readonly #told: boolean

  constructor(told: boolean) {
    this.#told = told
  }

  /** The broker has got CONNECT. */
  take(one: Fighter): void {
    const before = this.holder
    this.holder = one
    if (before === undefined || before === one) return
    this.takeovers++
    // The news takes its time, as all on a network does.
    this.clock.after(1, () => before.thrownOff(this.#told ? TOLD : CLOSED))
  }
}

class Fighter {
  readonly name: string
  readonly #fight: Fight
  readonly #policy: ConnectionPolicy
  #quiet: () => void = () => {}

  constructor(name: string, fight: Fight, random: SeededRandom) {
    this.name = name
    this.#fight = fight
    this.#policy = new ConnectionPolicy({
      retries: 0,
      protocolVersion: 'auto',
      backoff: reconnectBackoff(() => random.next()),
      now: () => fight.clock.now(),
      clientId: 'hall',
    })
  }

  connect(): void {
    this.#fight.take(this)
    const quietMs = this.#policy.connected()
    this.#quiet = this.#fight.clock.after(quietMs, () => this.#policy.asking())
  }

  thrownOff(failure: ConnectionFailure): void {
    this.#quiet()
    const verdict = this.#policy.failed(failure)
    if (verdict.type === 'retry') {
      this.#fight.clock.after(verdict.afterMs + 1, () => this.connect())
      return
    }
    this.#fight.stopped.push(`${this.name} ${verdict.error.code}`)
    if (this.#fight.holder === this) this.#fight.holder = undefined
  }
}

for (const told of [false, true]) {
  test(`of two with one client id the later one stops within four takeovers, where the broker ${told ? 'gives the reason' : 'only closes'}`, (t) => {
    fc.assert(
      fc.property(fc.integer({ min: 1 }), fc.integer({ min: 5_000, max: 100_000 }), (seed, headStartMs) => {
        const random = new SeededRandom(seed)
        const fight = new Fight(told)
        const [first, later] = [new Fighter('first', fight, random), new Fighter('later', fight, random)]
        first.connect()
        fight.clock.advance(headStartMs)
        later.connect()
        fight.clock.advance(600_000)
        t.deepEqual(fight.stopped, ['later ERR_CLIENT_ID_TAKEN_OVER'])
        t.is(fight.holder, first)
        t.true(fight.takeovers <= 4)
      }),
    )
  })

  test(`of several that begin together one stays, where the broker ${told ? 'gives the reason' : 'only closes'}`, (t) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1 }),
        fc.array(fc.integer({ min: 0, max: 4_000 }), { minLength: 2, maxLength: 4 }),
        (seed, delays) => {
          const random = new SeededRandom(seed)
          const fight = new Fight(told)
          for (const [i, delayMs] of delays.entries()) {
            const one = new Fighter(`${i}`, fight, random)
            fight.clock.after(delayMs + 1, () => one.connect())
          }
          fight.clock.advance(600_000)
          t.is(fight.stopped.length, delays.length - 1)
          t.truthy(fight.holder)
        },
      ),
    )
  })
}

test('a broker that restarts, crashes and loses sessions as it likes is never taken for another client', (t) => {
  const round = fc.record({
    // How long it runs, and for how many of our tries it does not listen after that.
    upMs: fc.integer({ min: 0, max: 10_000 }),
    refusals: fc.integer({ min: 0, max: 3 }),
    end: fc.constantFrom(CLOSED, BROKEN),
  })
  fc.assert(
    fc.property(fc.array(round, { maxLength: 50 }), fc.boolean(), (rounds, keepsSessions) => {
      const { pass, rule } = stage()
      for (const { end, refusals, upMs } of rounds) {
        const quietMs = rule.connected({ lost: !keepsSessions })
        pass(upMs)
        if (upMs >= quietMs) rule.asking()
        t.not(rule.failed(end), 'taken over')
        // One that keeps its sessions has to read them before it listens.
        for (let i = keepsSessions ? -1 : 0; i < refusals; i++) t.is(rule.failed(REFUSED), 'none')
      }
    }),
  )
})
