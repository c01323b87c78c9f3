// A receiver that comes and goes in a test: what it wants, what it hears, and how its messages end is the test's to say.
import { Deferred } from '../../lib/core/deferred.ts'
import type { Message } from '../../lib/core/message.ts'
import type {
  Attempt,
  Client,
  DisconnectReason,
  Interest,
  Outcome,
  Plan,
  Receiver,
  SessionInfo,
} from '../../lib/core/receiver.ts'
import { interest } from './interest.ts'
import { plainPlan } from './plan.ts'

const HANDLED: Outcome = { type: 'done', handled: true }

export interface GuestOptions {
  readonly plan?: Partial<Plan>
  /** Its messages end when the test says so. */
  readonly holds?: boolean
  /** Called with the payload of each message that it is given. */
  readonly given?: (text: string) => void
  /** What it wants is known when it is connected. */
  readonly asks?: boolean
  readonly connect?: (client: Client) => Promise<unknown>
  readonly disconnect?: (client: Client) => Promise<unknown>
}

/** One message that it was given. */
export interface GuestRun {
  readonly text: string
  readonly attempt: Attempt
  readonly ended: Deferred<Outcome>
}

export class Guest implements Receiver {
  readonly id: string
  /** What it was told: `connected`, `disconnected killed`. */
  readonly news: string[] = []
  readonly runs: GuestRun[] = []
  client: Client | undefined = undefined
  listeners = 0
  #interests: readonly Interest[]
  #changed: () => void = () => {}
  readonly #options: GuestOptions

  constructor(id: string, wants: readonly (string | Interest)[], options: GuestOptions = {}) {
    this.id = id
    this.#interests = wants.map((one) => (typeof one === 'string' ? interest(one) : one))
    this.#options = options
  }

  get asksWhenConnected(): boolean {
    return this.#options.asks === true
  }

  /** The payloads it was given, in order. */
  get seen(): string[] {
    return this.runs.map(({ text }) => text)
  }

  want(...wants: Interest[]): void {
    this.#interests = wants
    this.#changed()
  }

  /** Ends the oldest run of this payload that has not ended. */
  end(text: string, outcome: Outcome = HANDLED): void {
    const run = this.runs.find((one) => one.text === text && !one.ended.settled)
    if (run === undefined) throw new Error(`"${text}" does not run.`)
    run.ended.resolve(outcome)
  }

  interests(): readonly Interest[] {
    return this.#interests
  }

  onInterests(listener: () => void): () => void {
    this.listeners++
    this.#changed = listener
    return () => void this.listeners--
  }

  plan(): Plan {
    return { ...plainPlan, routes: [this.id], ...this.#options.plan }
  }

  receive(message: Message, _plan: Plan, attempt: Attempt): Outcome | Promise<Outcome> {
    const run = { text: message.payload.toString(), attempt, ended: new Deferred<Outcome>() }
    this.runs.push(run)
    this.#options.given?.(run.text)
    return this.#options.holds === true ? run.ended.promise : HANDLED
  }

  async connected(client: Client, { present }: SessionInfo): Promise<void> {
    this.client = client
    this.news.push(present ? 'connected again' : 'connected')
    await this.#options.connect?.(client)
  }

  async disconnected({ type }: DisconnectReason): Promise<void> {
    this.news.push(`disconnected ${type}`)
    if (this.client !== undefined) await this.#options.disconnect?.(this.client)
  }
}
