import test from 'ava'
import * as fc from 'fast-check'
import { reconnectBackoff, type Outage } from '../../lib/core/backoff.ts'
import { ConnectionPolicy, type ConnectionPolicyOptions } from '../../lib/server/connection-policy.ts'
import type { ConnectionFailure } from '../../lib/transport/transport.ts'
import { SeededRandom } from '../helpers/seeded-random.ts'

interface Stage {
  readonly policy: ConnectionPolicy
  /** Lets time go by. */
  readonly pass: (ms: number) => void
}

function stage(options: Partial<ConnectionPolicyOptions> = {}): Stage {
  let now = 0
  const policy = new ConnectionPolicy({
    retries: 3,
    protocolVersion: 'auto',
    backoff: ({ tries }) => tries,
    now: () => now,
    ...options,
  })
  return { policy, pass: (ms) => void (now += ms) }
}

function failure(type: ConnectionFailure['type'], reasonCode?: number): ConnectionFailure {
  return { type, message: `It was ${type}.`, ...(reasonCode === undefined ? {} : { reasonCode }) }
}

const everyType = [
  'version',
  'refused',
  'credentials',
  'tls',
  'network',
  'timeout',
  'takeover',
  'protocol',
  'overflow',
  'closed',
] as const

test('it begins with MQTT 5, and with 3.1.1 only where that is asked for', (t) => {
  t.is(stage().policy.protocolVersion, 5)
  t.is(stage({ protocolVersion: 5 }).policy.protocolVersion, 5)
  t.is(stage({ protocolVersion: 4 }).policy.protocolVersion, 4)
})

test('a refused version is the only reason to ask for another, at once, without a retry being counted', (t) => {
  for (const type of everyType) {
    const { policy } = stage({ retries: 1 })
    const verdict = policy.failed(failure(type))
    t.is(policy.protocolVersion, type === 'version' ? 4 : 5)
    if (type !== 'version') continue
    t.deepEqual(verdict, { type: 'retry', afterMs: 0, protocolVersion: 4, isFallback: true })
    t.is(policy.failed(failure('network')).type, 'retry')
    t.is(policy.failed(failure('network')).type, 'stop')
  }
})

test('what the first CONNACK settled is kept', (t) => {
  const { policy } = stage()
  policy.connected()
  t.like(policy.failed(failure('version')), { type: 'stop', error: { code: 'ERR_CONNECT_VERSION' } })
  t.is(policy.protocolVersion, 5)
  const fallen = stage().policy
  fallen.failed(failure('version'))
  fallen.connected()
  t.like(fallen.failed(failure('network')), { type: 'retry', protocolVersion: 4 })
  t.like(fallen.failed(failure('version')), { type: 'stop' })
})

test('a version that was asked for is not given up', (t) => {
  for (const protocolVersion of [4, 5] as const) {
    const { policy } = stage({ protocolVersion, retries: 0 })
    t.like(policy.failed(failure('version')), { type: 'stop', error: { code: 'ERR_CONNECT_VERSION' } })
  }
})

test('the retries are counted for each outage, and the end says how many there were', (t) => {
  const { pass, policy } = stage({ retries: 2 })
  for (let outage = 0; outage < 3; outage++) {
    t.is(policy.failed(failure('network')).type, 'retry')
    t.is(policy.failed(failure('timeout')).type, 'retry')
    policy.connected()
    pass(60_000)
  }
  policy.failed(failure('network'))
  policy.failed(failure('network'))
  const verdict = policy.failed(failure('closed'))
  t.like(verdict, { type: 'stop', error: { code: 'ERR_CONNECT_CLOSED' } })
  t.is(verdict.type === 'stop' && verdict.error.message, 'It was closed. Gave up after 2 retries.')
  const one = stage({ retries: 1 }).policy
  one.failed(failure('network'))
  const end = one.failed(failure('network'))
  t.true(end.type === 'stop' && end.error.message.endsWith('Gave up after 1 retry.'))
})

test('without a limit it tries for ever', (t) => {
  const { policy } = stage({ retries: 0 })
  for (let i = 0; i < 10_000; i++) t.is(policy.failed(failure('network')).type, 'retry')
})

test('the wait grows on until a connection has been stable for 30 s, by the time without a connection', (t) => {
  const waits: number[] = []
  const { pass, policy } = stage({
    retries: 0,
    backoff: ({ elapsedMs, tries }) => {
      waits.push(tries, elapsedMs)
      return 0
    },
  })
  for (let i = 0; i < 3; i++) {
    policy.failed(failure('timeout'))
    pass(1_000)
    policy.connected()
  }
  pass(4_999)
  policy.failed(failure('timeout'))
  t.deepEqual(waits, [1, 0, 2, 1_000, 3, 2_000, 4, 3_000])
  policy.connected()
  pass(29_999)
  policy.failed(failure('timeout'))
  pass(1)
  policy.failed(failure('network'))
  t.deepEqual(waits.slice(-4), [5, 3_000, 6, 3_001])
  policy.connected()
  pass(30_000)
  policy.failed(failure('timeout'))
  t.deepEqual(waits.slice(-2), [1, 0])
})

test('a connection that lasts 5 s ends the outage, for the retries', (t) => {
  const { pass, policy } = stage({ retries: 1 })
  for (let i = 0; i < 10; i++) {
    t.is(policy.failed(failure('timeout')).type, 'retry')
    policy.connected()
    pass(5_000)
  }
  policy.failed(failure('timeout'))
  policy.connected()
  pass(4_999)
  t.is(policy.failed(failure('timeout')).type, 'stop')
})

test('a broker that ends each connection at once is given up after the retries', (t) => {
  const { policy } = stage({ retries: 3 })
  for (let i = 0; i < 3; i++) {
    policy.connected()
    policy.asking()
    t.is(policy.failed(failure('closed')).type, 'retry')
  }
  policy.connected()
  policy.asking()
  t.is(policy.failed(failure('closed')).type, 'stop')
})

test('what no try will mend is final', (t) => {
  const always: readonly (readonly [ConnectionFailure['type'], number | undefined, string])[] = [
    ...[0x02, 0x81, 0x82, 0x85, 0x8a, 0x90, 0x95, 0x99, 0x9a, 0x9b, 0x9d].map(
      (code) => ['refused', code, 'ERR_CONNECT_REFUSED'] as const,
    ),
    ['credentials', 0x8c, 'ERR_CONNECT_CREDENTIALS'],
    ['closed', 0x9d, 'ERR_CONNECT_CLOSED'],
  ]
  for (const [type, reasonCode, code] of always) {
    for (const ever of [false, true]) {
      const { policy } = stage({ retries: 0 })
      if (ever) policy.connected()
      t.like(policy.failed(failure(type, reasonCode)), { type: 'stop', error: { code } })
    }
  }
})

test('a takeover ends the one that was connected for a moment only, and names the client id', (t) => {
  const { pass, policy } = stage({ retries: 0, clientId: 'hall' })
  policy.connected()
  pass(5_000)
  t.is(policy.failed(failure('takeover', 0x8e)).type, 'retry')
  policy.connected()
  const told = policy.failed(failure('takeover', 0x8e))
  t.like(told, { type: 'stop', error: { code: 'ERR_CLIENT_ID_TAKEN_OVER', message: 'It was takeover.' } })
  const fresh = stage({ retries: 0, clientId: 'hall' }).policy
  fresh.connected()
  const idle = { ...failure('closed'), idle: true }
  t.like(fresh.failed(idle), { type: 'retry', afterMs: 150 })
  t.is(fresh.connected(), 50)
  const guessed = fresh.failed(idle)
  t.like(guessed, { type: 'stop', error: { code: 'ERR_CLIENT_ID_TAKEN_OVER' } })
  t.regex(guessed.type === 'stop' ? guessed.error.message : '', /seems to use the client id "hall"/)
})

test('credentials and certificates are final at the start, and later a matter of time', (t) => {
  for (const type of ['credentials', 'tls'] as const) {
    t.is(stage({ retries: 0 }).policy.failed(failure(type)).type, 'stop')
    const { policy } = stage({ retries: 0 })
    policy.connected()
    t.is(policy.failed(failure(type)).type, 'retry')
  }
})

test('refused credentials are tried again with patience, and nothing else is', (t) => {
  for (const type of everyType) {
    let patient: boolean | undefined
    const backoff = (outage: Outage): number => {
      patient = outage.patient
      return 0
    }
    const { policy } = stage({ retries: 0, backoff })
    policy.failed(failure('timeout'))
    policy.connected()
    if (policy.failed(failure(type)).type === 'retry') t.is(patient, type === 'credentials')
  }
})

test('a broker that is busy or not there is tried again', (t) => {
  for (const reasonCode of [0x03, 0x80, 0x83, 0x88, 0x89, 0x97, 0x9c, 0x9f, 0xfe]) {
    t.is(stage().policy.failed(failure('refused', reasonCode)).type, 'retry')
  }
  for (const reasonCode of [0x87, 0x8b, 0x93, 0x95, 0x98, 0x9c, 0xa0]) {
    t.is(stage().policy.failed(failure('closed', reasonCode)).type, 'retry')
  }
  for (const type of ['network', 'timeout', 'protocol', 'overflow', 'closed'] as const) {
    t.is(stage().policy.failed(failure(type)).type, 'retry')
  }
})

test('an error keeps the cause, and has a code for each type', (t) => {
  for (const type of everyType) {
    const { policy } = stage({ retries: 1, protocolVersion: 5 })
    const cause = new Error('first')
    policy.failed({ type: 'network', message: '' })
    const verdict = policy.failed({ type, message: 'It failed.', cause })
    t.is(verdict.type === 'stop' ? verdict.error.cause : undefined, cause)
    t.true(verdict.type === 'stop' && verdict.error.kind.length > 0)
  }
})

const MINUTE = 60_000

test('a thousand clients do not come back as one when the broker is back after a minute', (t) => {
  const random = new SeededRandom(1)
  const perSecond = new Map<number, number>()
  let all = 0
  let slowest = 0
  for (let client = 0; client < 1_000; client++) {
    const backoff = reconnectBackoff(() => random.next())
    const { pass, policy } = stage({ retries: 0, backoff })
    policy.connected()
    policy.asking()
    pass(MINUTE)
    let now = 0
    // All of them have lost it at the same moment; the broker takes the first attempt behind the minute.
    for (let tries = 1; now < MINUTE; tries++) {
      const verdict = policy.failed(failure(tries === 1 ? 'closed' : 'network'))
      const wait = verdict.type === 'retry' ? verdict.afterMs : Number.NaN
      now += wait
      pass(wait)
      slowest = Math.max(slowest, now)
      if (tries < 3) continue
      all++
      const second = Math.floor(now / 1_000)
      perSecond.set(second, (perSecond.get(second) ?? 0) + 1)
    }
  }
  const most = Math.max(...perSecond.values()) / all
  t.log(
    `at most ${(100 * most).toFixed(1)} % of the attempts in one second, all back after ${slowest / 1_000} s`,
  )
  t.true(most <= 0.05)
  t.true(slowest <= MINUTE + 1_500)
})

test('over any outage a wait is within 1.5 s in the first minute, and within a doubling ceiling to 120 s then', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), {
        minLength: 200,
        maxLength: 200,
      }),
      (chances) => {
        let at = 0
        const backoff = reconnectBackoff(() => chances[at++ % chances.length] ?? 0)
        let elapsedMs = 0
        let slow = 0
        for (let tries = 1; tries <= 200; tries++) {
          if (elapsedMs >= MINUTE) slow++
          const ceiling = elapsedMs < MINUTE ? 1_500 : Math.min(120_000, 1_500 * 2 ** slow)
          const wait = backoff({ tries, elapsedMs })
          t.true(wait >= 0 && wait <= ceiling)
          // A try takes time of its own.
          elapsedMs += wait + 500
        }
      },
    ),
    { numRuns: 50 },
  )
})

test('connections that keep ending soon after they have begun make one think of the client id', (t) => {
  const { pass, policy } = stage({ retries: 2 })
  const end = (lastedMs: number): ReturnType<ConnectionPolicy['failed']> => {
    policy.connected()
    policy.asking()
    pass(lastedMs)
    return policy.failed(failure('closed'))
  }
  t.false('hint' in end(100))
  t.regex(JSON.stringify(end(100)), /same client id/)
  const last = end(100)
  t.is(last.type, 'stop')
  t.regex(last.type === 'stop' ? last.error.message : '', /same client id\? Gave up/)
  t.false('hint' in end(60_000))
})
