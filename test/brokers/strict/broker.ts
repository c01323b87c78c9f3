// A broker that forgives nothing: a client that breaks a rule is disconnected, and what it did is kept.
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { Client, type Switchboard } from './client.ts'
import { noFaults, type StrictFaults } from './faults.ts'
import { Link } from './link.ts'
import { Session } from './session.ts'
import { Subscriptions, type Publication } from './subscriptions.ts'
import type { Violation } from './violation.ts'
import type { Limits } from './words.ts'

export interface StrictOptions extends Partial<Limits> {
  readonly faults?: Partial<StrictFaults>
  /** In flight to a client that announces no Receive Maximum; 20, as for mosquitto. */
  readonly maxInflight?: number
  readonly protocolVersions?: readonly number[]
}

export interface PublishOptions {
  readonly qos?: 0 | 1 | 2
  readonly retain?: boolean
  readonly properties?: Readonly<Record<string, unknown>>
}

/** Listens on a free loopback port. */
export async function startStrictBroker(options: StrictOptions = {}): Promise<StrictBroker> {
  const broker = new StrictBroker(options)
  await broker.listen()
  return broker
}

export class StrictBroker {
  readonly violations: Violation[] = []
  readonly faults: StrictFaults
  /** Settled by an acknowledgement of a client, in that order. */
  readonly settled: { readonly clientId: string; readonly topic: string; readonly payload: Buffer }[] = []
  /** Accepted since the start, with the bytes that went each way. */
  readonly links: Link[] = []
  readonly subscriptions = new Subscriptions<string>()
  readonly #limits: Limits
  readonly #options: StrictOptions
  readonly #sessions = new Map<string, Session>()
  readonly #clients = new Set<Client>()
  readonly #server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(socket))
  readonly #watchers = new Set<() => void>()
  #port = 0

  constructor(options: StrictOptions) {
    this.#options = options
    this.#limits = {
      maximumQos: options.maximumQos ?? 2,
      maximumPacketSize: options.maximumPacketSize ?? 268_435_460,
      receiveMaximum: options.receiveMaximum ?? 65_535,
    }
    this.faults = { ...noFaults(), ...options.faults }
  }

  get port(): number {
    return this.#port
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.#port}`
  }

  /** Connected now. */
  get clients(): readonly string[] {
    return [...this.#clients].flatMap(({ clientId }) => clientId ?? [])
  }

  async listen(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    const address = this.#server.address()
    if (address !== null && typeof address === 'object') this.#port = address.port
  }

  /** A publication of nobody's: as if from another client. */
  publish(topic: string, payload: string | Buffer, options: PublishOptions = {}): void {
    const { qos = 1, retain = false, properties = {} } = options
    this.#route({ topic, payload: Buffer.from(payload), qos, retain, properties }, undefined)
  }

  /** Everything in flight again, on the same connections. */
  resend(): void {
    for (const client of this.#clients) client.resend()
  }

  /** Delivers what `holdsDeliveries` has held back. */
  flow(): void {
    this.faults.holdsDeliveries = false
    for (const client of this.#clients) client.pump()
  }

  /** Answers what `holdsAnswers` has held back. */
  answer(): void {
    this.faults.holdsAnswers = false
    for (const client of this.#clients) client.answer()
  }

  /** What is queued and in flight for this client. */
  unsettled(clientId: string): number {
    return this.#sessions.get(clientId)?.unsettled ?? 0
  }

  /** Its sessions are gone, as after a restart without persistence. Connections end with them. */
  forget(): void {
    for (const clientId of this.#sessions.keys()) this.subscriptions.forget(clientId)
    this.#sessions.clear()
    this.cut()
  }

  /** Ends all connections: with RST, or with what was written in front of the end. */
  cut(how: 'reset' | 'end' = 'end'): void {
    for (const client of this.#clients) client.cut(how)
  }

  /** Resolves when it is so; asked whenever something has come. */
  until(isSo: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!isSo()) return
        this.#watchers.delete(look)
        resolve()
      }
      this.#watchers.add(look)
      look()
    })
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.cut('reset')
    if (!this.#server.listening) return
    this.#server.close()
    await once(this.#server, 'close')
  }

  #accept(socket: Socket): void {
    const client = new Client({
      limits: this.#limits,
      faults: this.faults,
      maxInflight: this.#options.maxInflight ?? 20,
      protocolVersions: this.#options.protocolVersions ?? [4, 5],
      switchboard: this.#switchboard(),
      link: (events) => {
        const link = new Link(this.links.length + 1, socket, this.faults, events)
        this.links.push(link)
        return link
      },
    })
    this.#clients.add(client)
    this.#look()
  }

  #switchboard(): Switchboard {
    return {
      open: (client, clientId, clean) => this.#open(client, clientId, clean),
      publish: (publication, from) => this.#route(publication, from),
      subscribe: (from, requested, qos, identifier) =>
        this.subscriptions.add(from, requested, qos, identifier).map(({ message }) => message),
      unsubscribe: (from, filter) => this.subscriptions.remove(from, filter),
      settled: (clientId, { topic, payload }) => this.settled.push({ clientId, topic, payload }),
      violated: (violation) => this.violations.push(violation),
      stirred: () => this.#look(),
      gone: (client, sessionEnds) => this.#gone(client, sessionEnds),
    }
  }

  #gone(client: Client, sessionEnds: boolean): void {
    this.#clients.delete(client)
    const isTakenOver = [...this.#clients].some(({ clientId }) => clientId === client.clientId)
    if (sessionEnds && client.clientId !== undefined && !isTakenOver) this.#end(client.clientId)
    this.#look()
  }

  #open(client: Client, clientId: string, clean: boolean): ReturnType<Switchboard['open']> {
    for (const other of this.#clients) if (other !== client && other.clientId === clientId) other.takenOver()
    if (clean) this.#end(clientId)
    const known = this.#sessions.get(clientId)
    const session = known ?? new Session()
    this.#sessions.set(clientId, session)
    return { session, isPresent: known !== undefined }
  }

  #end(clientId: string): void {
    this.#sessions.delete(clientId)
    this.subscriptions.forget(clientId)
  }

  /** To how many it goes. */
  #route(publication: Publication, from: string | undefined): number {
    const copies = this.subscriptions.publish(publication, from, this.faults.mergesCopies)
    for (const { subscriber, message } of copies) {
      const client = [...this.#clients].find((one) => one.clientId === subscriber)
      if (client !== undefined) client.deliver(message)
      else if (message.qos > 0) this.#sessions.get(subscriber)?.add(message)
    }
    return copies.length
  }

  #look(): void {
    for (const look of this.#watchers) look()
  }
}
