// A whole server on a broker in memory and a clock that stands still: connections, refusals, lost sessions, and a stop at any time.
import { ApplicationNode, mqttasgi } from '../../lib/core/application.ts'
import type { Context } from '../../lib/core/context.ts'
import type { DeadLetter, DeadLetterStore } from '../../lib/core/dead-letter.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { silentLog } from '../../lib/core/log.ts'
import { Drop, Reject } from '../../lib/core/outcomes.ts'
import type { Client } from '../../lib/core/receiver.ts'
import { Server } from '../../lib/server/server.ts'
import { MemoryTransport } from '../../lib/testing/memory-transport.ts'
import type { ConnectionFailure } from '../../lib/transport/transport.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { Guest } from '../helpers/guest.ts'
import { interest } from '../helpers/interest.ts'
import { SeededRandom } from '../helpers/seeded-random.ts'
import { check, fail, forget } from './failing.ts'

interface Delivered {
  readonly packetId: number
  readonly payload: string
}

/** A question to the server, and whether it has an answer. */
interface Asked {
  readonly what: string
  answered: boolean
}

const STEP_MS = 50
// DISCONNECT, and the steps in which the clock goes.
const SLACK_MS = 1_000 + 2 * STEP_MS

export class ServerSimulation {
  readonly #random: SeededRandom
  readonly #trace: (line: string) => void
  readonly #transport = new MemoryTransport()
  readonly #clock = new FakeClock()
  readonly #server: Server
  readonly #detach: () => void
  readonly #app = mqttasgi({ timeoutMs: 400, retry: { attempts: 2, minDelayMs: 20, maxDelayMs: 40 } })
  readonly #drainTimeoutMs: number
  readonly #storeFails: number
  readonly #asked: Asked[] = []
  readonly #handlers = new Set<Deferred>()
  readonly #guests: Guest[] = []
  /** Payloads of what may be acknowledged. */
  readonly #over = new Set<string>()
  /** Of the connection that is up, oldest first. */
  #owed: Delivered[] = []
  #seen = 0
  #count = 0

  constructor(seed: number, trace: (line: string) => void = () => {}) {
    forget()
    const random = new SeededRandom(seed)
    this.#random = random
    this.#trace = trace
    this.#drainTimeoutMs = random.pick([0, 300, 2_000]) ?? 0
    this.#storeFails = random.chance(0.5) ? 0 : random.next()
    this.#routes()
    if (!(this.#app instanceof ApplicationNode)) throw new TypeError('An application is expected.')
    const app = this.#app
    this.#transport.info = {
      ...this.#transport.info,
      protocolVersion: random.chance(0.7) ? 5 : 4,
      subscriptionIdentifiers: random.chance(0.7),
      receiveMaximum: 1 + random.below(5),
    }
    this.#server = new Server({
      transport: this.#transport,
      receivers: [app.receiver({ id: 'application', log: silentLog })],
      policy: {
        retries: random.pick([0, 3]) ?? 0,
        protocolVersion: 'auto',
        backoff: () => random.below(200),
        ...(random.chance(0.5) && { clientId: 'simulated' }),
      },
      window: { maxInFlight: 1 + random.below(4), maxWaitingBytes: 400 },
      outbox: { maxMessages: 5, maxBytes: 10_000 },
      sessionLasts: random.chance(0.5),
      onSessionLoss: random.chance(0.2) ? 'stop' : 'continue',
      deadLetters: random.chance(0.7) ? this.#store() : undefined,
      overlap: 'accept',
      drainTimeoutMs: this.#drainTimeoutMs,
      log: silentLog,
      clock: this.#clock,
    })
    this.#detach = app.attach({ ready: () => this.#server.ready() })
  }

  /** Throws what is not as it should be. Gives how many messages were delivered. */
  async run(): Promise<number> {
    if (this.#random.chance(0.9)) this.#ask('start', this.#server.start())
    for (let i = this.#random.below(80); i > 0 && this.#server.state !== 'closed'; i--) {
      this.#step()
      await this.#turn()
    }
    await this.#stop()
    return this.#count
  }

  #routes(): void {
    const handler = (ctx: Context): Promise<void> | void => this.#handle(ctx)
    this.#app.topic('a/+x', handler)
    this.#app.topic('a/#', { order: 'none', concurrency: 2 }, (ctx, next) =>
      ctx.attempt > 1 ? next() : handler(ctx),
    )
    this.#app.topic('b/+x', { overflow: 'latest', throttleMs: 100 }, handler)
    this.#app.topic('$share/team/c/+x', handler)
    this.#app.onConnect((client) => void client.publish('status', 'on').catch(() => {}))
    this.#app.onError((_error, ctx) => {
      // Kept, or without a store only counted; what of it is tried again may still do its work.
      this.#over.add(ctx.text())
      if (ctx.text().endsWith('7')) throw new Drop('of no use')
    })
  }

  #handle(ctx: Context): Promise<void> | void {
    const payload = ctx.text()
    const choice = this.#random.below(10)
    this.#trace(`${payload} begins`)
    if (choice < 3) return void this.#over.add(payload)
    if (choice === 3) return this.#publishIn(ctx)
    if (choice === 4) throw new Error('it can not')
    if (choice === 5) throw new Reject('nobody can')
    if (choice === 6) {
      this.#over.add(payload)
      throw new Drop('nobody needs it')
    }
    return this.#wait(payload)
  }

  async #publishIn(ctx: Context): Promise<void> {
    await ctx.publish('answers', ctx.text())
    this.#over.add(ctx.text())
  }

  async #wait(payload: string): Promise<void> {
    const ended = new Deferred()
    this.#handlers.add(ended)
    await ended.promise
    this.#over.add(payload)
  }

  #store(): DeadLetterStore {
    return { name: 'simulated', keep: (letter) => this.#keep(letter), close: () => Promise.resolve() }
  }

  async #keep(letter: DeadLetter): Promise<void> {
    await Promise.resolve()
    if (this.#random.chance(this.#storeFails)) throw new Error('the disk says no')
    this.#over.add(letter.payload.toString())
  }

  #step(): void {
    const choice = this.#random.below(23)
    if (choice < 7) this.#deliver()
    else if (choice < 10) this.#endOne()
    else if (choice < 12) this.#clock.advance(this.#random.below(4) * STEP_MS)
    else if (choice === 12) this.#lose()
    else if (choice === 13) this.#failNext()
    else if (choice === 14) this.#publish()
    else if (choice === 15) this.#subscribe()
    else if (choice === 16) this.#holdOrAnswer()
    else if (choice === 17)
      this.#transport.info = { ...this.#transport.info, sessionPresent: this.#random.chance(0.5) }
    else if (choice === 18) this.#ask('ready', this.#server.ready())
    else if (choice === 19) this.#attach()
    else if (choice === 20) this.#detachOne()
    else if (choice === 21) this.#endOneOfGuests()
    else if (typeof this.#server.health.ready !== 'boolean') fail('the health is not known')
  }

  #deliver(): void {
    const payload = String(this.#count++)
    const topic = `${this.#random.pick(['a', 'a', 'b', 'c']) ?? 'a'}/${this.#random.below(3)}`
    const qos = this.#random.chance(0.2) ? 0 : 1
    const isUp = this.#transport.connected
    const packetId = this.#transport.deliver(topic, payload, { qos })
    this.#trace(`${payload} on ${topic} as ${packetId}`)
    // What nobody handles is settled all the same: it may be shed, or have no receiver.
    if (topic.startsWith('b')) this.#over.add(payload)
    if (packetId > 0 && isUp) this.#owed.push({ packetId, payload })
  }

  #endOne(): void {
    const ended = this.#random.pick([...this.#handlers])
    if (ended === undefined) return
    this.#handlers.delete(ended)
    if (this.#random.chance(0.8)) ended.resolve()
    else ended.reject(new Error('it can not'))
  }

  #lose(): void {
    const type = this.#random.pick<ConnectionFailure['type']>([
      'closed',
      'network',
      'timeout',
      'protocol',
      'takeover',
    ])
    this.#trace(`the connection is lost: ${type}`)
    this.#transport.lose({ type: type ?? 'closed', message: 'It is gone.', idle: this.#random.chance(0.5) })
  }

  #failNext(): void {
    const { transport, operation } = { transport: this.#transport, operation: this.#operation() }
    const reasonCode = this.#random.pick([0x80, 0x87, 0x88, 0x89, 0x97]) ?? 0x80
    const fault = this.#random.chance(0.5)
      ? ({ type: 'refuse', reasonCode } as const)
      : ({ type: 'lose' } as const)
    this.#trace(`the next ${operation} goes wrong: ${fault.type}`)
    transport.failAt(operation, transport.count(operation) + 1, fault)
  }

  #operation(): 'connect' | 'subscribe' | 'unsubscribe' | 'publish' {
    return this.#random.pick(['connect', 'subscribe', 'unsubscribe', 'publish'] as const) ?? 'connect'
  }

  #publish(): void {
    this.#ask('publish', this.#server.publish('out', 'x', { qos: this.#random.pick([0, 1] as const) ?? 1 }))
  }

  #subscribe(): void {
    const filter = `extra/${this.#random.below(3)}`
    if (this.#random.chance(0.5)) this.#ask('subscribe', this.#server.subscribe(filter))
    else this.#ask('unsubscribe', this.#server.unsubscribe(filter))
  }

  // Who comes and goes wants what the application wants too, and must not cost it anything.
  #attach(): void {
    const id = `guest ${this.#random.below(3)}`
    const filters = ['a/1', 'a/+', 'b/#', 'own', 'a/#'].filter(() => this.#random.chance(0.4))
    const qos = this.#random.pick([0, 1] as const) ?? 1
    const guest = new Guest(
      id,
      filters.map((filter) => interest(filter, { qos })),
      {
        holds: this.#random.chance(0.5),
        connect: (client) => this.#connectGuest(client),
      },
    )
    this.#trace(`${id} comes for ${filters.join()}`)
    this.#guests.push(guest)
    this.#ask('attach', this.#server.attach(guest))
  }

  async #connectGuest(client: Client): Promise<void> {
    const choice = this.#random.below(6)
    if (choice === 0) throw new Error('it does not start')
    if (choice === 1) await client.subscribe('own/by/hand')
    if (choice === 2) await client.publish('hello', 'x')
  }

  #detachOne(): void {
    const guest = this.#random.pick(this.#guests)
    if (guest === undefined) return
    const drainTimeoutMs = this.#random.pick([0, 100, 1_000]) ?? 0
    const keepSubscriptions = this.#random.chance(0.3)
    this.#trace(
      `${guest.id} goes, within ${drainTimeoutMs} ms${keepSubscriptions ? ', and its place stays' : ''}`,
    )
    this.#ask('detach', this.#server.detach(guest, { drainTimeoutMs, keepSubscriptions }))
  }

  #endOneOfGuests(): void {
    const runs = this.#guests.flatMap((guest) => guest.runs).filter(({ ended }) => !ended.settled)
    this.#random.pick(runs)?.ended.resolve({ type: 'done', handled: true })
  }

  #holdOrAnswer(): void {
    this.#transport.holdAnswers = !this.#transport.holdAnswers
    if (!this.#transport.holdAnswers) this.#transport.answer()
  }

  #ask(what: string, answer: Promise<unknown>): void {
    const asked: Asked = { what, answered: false }
    this.#asked.push(asked)
    const count = (): void => {
      if (asked.answered) fail(`${what} was answered twice`)
      asked.answered = true
    }
    answer.then(count, count)
  }

  async #turn(): Promise<void> {
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
    const { acknowledged, connected } = this.#transport
    for (; this.#seen < acknowledged.length; this.#seen++)
      this.#checkAcknowledged(acknowledged[this.#seen] ?? 0)
    if (!connected) this.#owed = []
    check()
  }

  #checkAcknowledged(packetId: number): void {
    const next = this.#owed.shift()
    if (next?.packetId !== packetId) fail(`${packetId} is acknowledged, and ${next?.packetId} is next`)
    this.#trace(`${next.payload} is acknowledged`)
    if (!this.#over.has(next.payload)) fail(`${next.payload} is acknowledged, and was not handled`)
  }

  async #stop(): Promise<void> {
    const began = this.#clock.now()
    const isByItself = this.#server.state === 'closed'
    const drainTimeoutMs = this.#random.chance(0.5) ? this.#drainTimeoutMs : this.#random.below(1_000)
    this.#trace(`stop, within ${drainTimeoutMs} ms`)
    const isOver = new Deferred()
    const stopped = this.#server.stop({ drainTimeoutMs, leave: this.#random.chance(0.3) })
    void stopped.then(() => isOver.resolve())
    const longest = Math.max(drainTimeoutMs, this.#drainTimeoutMs) + SLACK_MS
    while (!isOver.settled && this.#clock.now() - began <= longest) {
      if (this.#random.chance(0.3)) this.#endOne()
      if (this.#random.chance(0.1)) this.#detachOne()
      if (this.#random.chance(0.2)) this.#deliver()
      if (this.#random.chance(0.05)) this.#lose()
      await this.#turn()
      this.#clock.advance(STEP_MS)
    }
    if (!isOver.settled && !isByItself) fail(`the stop is not over after ${longest} ms`)
    await stopped
    await this.#turn()
    this.#detach()
    await this.#checkEnd()
  }

  async #checkEnd(): Promise<void> {
    await this.#server.closed
    // Whoever is still at it ends now, and nobody hears of it.
    for (const ended of this.#handlers) ended.resolve()
    await this.#turn()
    const acknowledged = this.#transport.acknowledged.length
    this.#clock.advance(600_000)
    await this.#turn()
    if (this.#transport.acknowledged.length > acknowledged) fail('something is acknowledged after the stop')
    if (this.#guests.some(({ listeners }) => listeners > 0)) fail('somebody is still listened to')
    if (this.#clock.timers > 0) fail(`${this.#clock.timers} timers are left`)
    if (this.#server.state !== 'closed' || this.#server.health.ready) fail('the server goes on')
    const open = this.#asked.filter(({ answered }) => !answered).map(({ what }) => what)
    if (open.length > 0) fail(`without an answer: ${open.join(', ')}`)
  }
}
