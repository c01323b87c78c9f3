// Finds out whether a broker that grants shared subscriptions delivers to them as well: some only pretend.
import { createHash, randomBytes } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import type { Transport } from '../transport/transport.ts'

/**
 * works: a message came · pretends: it came to a plain subscription only · unanswered: SUBSCRIBE got no answer ·
 * closed: the connection ended over it, twice · lost: it did so once, which may be chance · refused: the broker
 * says that it has none, or that this topic is not ours · unsure: nothing came at all, or the connection ended
 * over the publication.
 */
export type ShareVerdict = 'works' | 'pretends' | 'unanswered' | 'closed' | 'lost' | 'refused' | 'unsure'

/** What the probe works with. */
export interface ShareProbeParts {
  readonly broker: Pick<Transport, 'subscribe' | 'unsubscribe' | 'publish'>
  readonly clock: Clock
  /** Of this client alone: another member of the group would take its messages. */
  readonly topic: string
}

/** How long a broker may take for one step. */
const PATIENCE_MS = 2_000
const GROUP = 'mqttasgi-probe'

/** A topic of this client alone, below another one; its id may hold what no topic may. */
export function probeTopic(below: string, clientId: string): string {
  return `${below}/${createHash('sha256').update(clientId).digest('hex').slice(0, 16)}`
}

/**
 * Publishes a message to a topic that it has subscribed to as a group of one. When nothing comes, it does so
 * with a plain subscription: if that brings the message the group only pretends to exist. It leaves nothing
 * behind, also after a refusal.
 *
 * Measured on MQTT 3.1.1: nats-server 2.9, RabbitMQ 3.10 and aedes grant `$share` and deliver nothing, ejabberd
 * 23.01 never answers, or ends the connection.
 */
export class ShareProbe {
  readonly #parts: ShareProbeParts
  // Unique, for a message that an older run has left must not count.
  readonly #payload = Buffer.from(`probe ${randomBytes(8).toString('hex')}`)
  #losses = 0
  #came: (() => void) | undefined = undefined

  constructor(parts: ShareProbeParts) {
    this.#parts = parts
  }

  /** Whether this arrival is the probe's own; it is for nobody else then. */
  takes(arrival: { readonly topic: string; readonly payload: Buffer }): boolean {
    if (arrival.topic !== this.#parts.topic) return false
    // Looked at only here: to read the payload of each message would make a view of it.
    if (arrival.payload.equals(this.#payload)) this.#came?.()
    return true
  }

  /** Never rejects. */
  async run(): Promise<ShareVerdict> {
    const { topic } = this.#parts
    const shared = await this.#try(`$share/${GROUP}/${topic}`)
    if (shared !== 'silent') return shared === 'came' ? 'works' : shared
    return (await this.#try(topic)) === 'came' ? 'pretends' : 'unsure'
  }

  async #try(filter: string): Promise<'came' | 'silent' | Exclude<ShareVerdict, 'works' | 'pretends'>> {
    const { broker, topic } = this.#parts
    const options = { qos: 0, noLocal: false, retainHandling: 2, retainAsPublished: false } as const
    let isGranted = false
    try {
      const codes = await this.#within(broker.subscribe([{ filter, ...options, identifier: undefined }]))
      if (codes === undefined) return 'unanswered'
      if ((codes[0] ?? 0x80) >= 0x80) return 'refused'
      isGranted = true
      const came = new Promise<true>((resolve) => (this.#came = () => resolve(true)))
      await this.#within(broker.publish(topic, this.#payload, { qos: 1 }))
      const result = (await this.#within(came)) === true ? 'came' : 'silent'
      await this.#within(broker.unsubscribe([filter]))
      return result
    } catch {
      // A broker that ends the connection over the publication says nothing of shared subscriptions.
      if (isGranted) return 'unsure'
      return ++this.#losses === 1 ? 'lost' : 'closed'
    } finally {
      this.#came = undefined
    }
  }

  /** Undefined when it took too long. */
  #within<T>(answer: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const cancel = this.#parts.clock.after(PATIENCE_MS, () => resolve(undefined))
      answer.then(resolve, reject).finally(cancel)
    })
  }
}

/** What keeps shared subscriptions from being used, as a sentence for people; undefined when nothing does. */
export function shareFault(verdict: ShareVerdict): string | undefined {
  if (verdict === 'unanswered') return 'The broker does not answer SUBSCRIBE for a shared subscription.'
  if (verdict === 'closed')
    return 'The broker ends the connection when it is asked for a shared subscription.'
  if (verdict !== 'pretends') return undefined
  return 'The broker grants shared subscriptions and delivers nothing to them: a message that was published came to a plain subscription, and to no shared one.'
}
