// The n-th operation fails, for n = 1, 2, 3 … until a run passes untouched: after each run nothing is lost or left.
import test from 'ava'
import { ApplicationNode, mqttasgi } from '../../lib/core/application.ts'
import { silentLog } from '../../lib/core/log.ts'
import { Server } from '../../lib/server/server.ts'
import {
  MemoryTransport,
  type MemoryFault,
  type MemoryOperation,
} from '../../lib/testing/memory-transport.ts'
import { FakeClock, settled } from '../helpers/fake-clock.ts'

const MESSAGES = 6

interface Outcome {
  readonly problems: string[]
  /** The fault was never reached. */
  readonly untouched: boolean
}

/** A broker that keeps the session: what is not acknowledged comes again after each reconnect. */
class Run {
  readonly #transport = new MemoryTransport()
  readonly #clock = new FakeClock()
  readonly #server: Server
  readonly #problems: string[] = []
  readonly #done = new Set<string>()
  readonly #unacknowledged = new Map<number, string>()
  readonly #promises: Promise<unknown>[] = []
  #open = 0

  constructor() {
    const app = mqttasgi()
    app.topic('in/+n', { retry: { minDelayMs: 5, jitter: false } }, async (ctx) => {
      try {
        if (Number(ctx.params.n) % 2 === 0) await settled()
        await ctx.publish(`out/${ctx.params.n}`, ctx.text())
      } finally {
        this.#done.add(ctx.params.n)
      }
    })
    app.topic('other', () => {})
    this.#server = new Server({
      transport: this.#transport,
      receivers: app instanceof ApplicationNode ? [app.receiver()] : [],
      policy: { retries: 0, protocolVersion: 'auto', backoff: () => 10 },
      window: { maxInFlight: 2, maxWaitingBytes: 60 },
      outbox: { maxMessages: 100, maxBytes: 10_000 },
      sessionLasts: true,
      drainTimeoutMs: 1_000,
      log: silentLog,
      clock: this.#clock,
    })
  }

  async with(operation: MemoryOperation, nth: number, fault: MemoryFault): Promise<Outcome> {
    this.#watchAcknowledgements()
    this.#transport.failAt(operation, nth, fault)
    this.#promise(this.#server.start())
    await this.#progress()
    if (this.#server.state !== 'closed') await this.#work()
    this.#promise(this.#server.stop())
    await this.#progress()
    this.#check()
    return { problems: this.#problems, untouched: this.#transport.count(operation) < nth }
  }

  async #work(): Promise<void> {
    for (let n = 0; n < MESSAGES; n++) {
      if (this.#transport.connected) this.#deliver(this.#transport.deliver(`in/${n}`, `${n}`), `${n}`)
      if (n === 1) this.#promise(this.#server.subscribe('by/hand'))
      if (n === 2) this.#promise(this.#server.publish('by/hand', 'x'))
      if (n === 4) this.#promise(this.#server.unsubscribe('by/hand'))
      // Two at a time, of which the second is done first.
      if (n % 2 === 1) await this.#progress()
    }
    await this.#progress()
  }

  #deliver(packetId: number, n: string): void {
    this.#unacknowledged.set(packetId, n)
  }

  /** Everything happens that can, over as many reconnects as it takes. */
  async #progress(): Promise<void> {
    for (let i = 0; i < 30; i++) {
      await settled()
      this.#clock.advance(5)
      await settled()
      this.#readAcknowledgements()
      if (this.#server.state !== 'waiting') continue
      this.#transport.info = { ...this.#transport.info, sessionPresent: true }
      this.#clock.advance(10)
      await settled()
      for (const [packetId, n] of this.#unacknowledged) {
        this.#transport.deliver(`in/${n}`, n, { packetId, dup: true })
      }
    }
  }

  /** Looks at each acknowledgement when it is written; those that get lost on the way are written too. */
  #watchAcknowledgements(): void {
    const acknowledge = this.#transport.acknowledge.bind(this.#transport)
    this.#transport.acknowledge = (packetIds) => {
      for (const id of packetIds) {
        const n = this.#unacknowledged.get(id)
        if (n === undefined) this.#problems.push(`${id} was acknowledged twice, or never sent`)
        else if (!this.#done.has(n)) this.#problems.push(`${n} was acknowledged, and its handler not done`)
      }
      return acknowledge(packetIds)
    }
  }

  #readAcknowledgements(): void {
    for (const id of this.#transport.acknowledged.splice(0)) this.#unacknowledged.delete(id)
  }

  #promise(promise: Promise<unknown>): void {
    this.#open++
    this.#promises.push(
      promise.then(
        () => this.#open--,
        () => this.#open--,
      ),
    )
  }

  #check(): void {
    const { state } = this.#server
    if (state !== 'closed') this.#problems.push(`the server is ${state}`)
    if (this.#clock.timers > 0) this.#problems.push(`${this.#clock.timers} timers are left`)
    if (this.#open > 0) this.#problems.push(`${this.#open} promises are never settled`)
    if (this.#unacknowledged.size > 0)
      this.#problems.push(`${this.#unacknowledged.size} messages stay unacknowledged`)
    const ended = this.#server.counters.handled + this.#server.counters.failed
    if (ended > 0 && this.#transport.published.length === 0) this.#problems.push('nothing was published')
  }
}

const faults: readonly MemoryFault[] = [
  { type: 'lose' },
  { type: 'lose', failure: { type: 'timeout', message: 'The broker was silent.' } },
  { type: 'refuse', reasonCode: 0x87 },
]

for (const operation of ['connect', 'subscribe', 'unsubscribe', 'publish', 'acknowledge'] as const) {
  for (const fault of faults) {
    const what =
      fault.type === 'refuse' ? 'is refused' : `loses the connection (${fault.failure?.type ?? 'closed'})`
    test(`nothing is lost or left when the n-th ${operation} ${what}`, async (t) => {
      for (let nth = 1; ; nth++) {
        const { problems, untouched } = await new Run().with(operation, nth, fault)
        t.deepEqual(problems, [], `n = ${nth}`)
        if (untouched || problems.length > 0 || nth > 40) {
          t.true(untouched && nth > 1)
          return
        }
      }
    })
  }
}
