// An application in another thread as the server sees it: planned here, run there.
import type { ChainPlan } from '../core/chain-plan.ts'
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { Message } from '../core/message.ts'
import type {
  Attempt,
  Client,
  DisconnectReason,
  Interest,
  Outcome,
  Receiver,
  SessionInfo,
} from '../core/receiver.ts'
import { unattachedClient } from '../core/unattached-client.ts'
import { emptyTable, TablePlans } from './route-table.ts'
import { outcomeOf, wireError } from './wire-error.ts'
import { wireMessage, wireReason, type FromThread, type Line, type ToThread } from './wire.ts'

/** A message that the thread has. */
interface InHand {
  readonly attempt: Attempt
  readonly route: string | undefined
  readonly outcome: Deferred<Outcome>
}

export class ThreadReceiver implements Receiver<ChainPlan> {
  // What the other side is made of is not known here.
  readonly asksWhenConnected = true
  readonly id: string
  /** Whom the thread asks the broker through. */
  client: Client = unattachedClient
  readonly #line: Line<ToThread>
  readonly #gaveUp: () => void
  readonly #inHand = new Map<number, InHand>()
  readonly #told = new Map<number, () => void>()
  readonly #listeners = new Set<() => void>()
  #interests: readonly Interest[] = []
  #plans = new TablePlans(emptyTable)
  #numbers = 0
  #loss: Error | undefined = undefined

  /** `gaveUp` is called when a message at the thread has taken too long. */
  constructor(id: string, line: Line<ToThread>, gaveUp: () => void) {
    this.id = id
    this.#line = line
    this.#gaveUp = gaveUp
  }

  get isIdle(): boolean {
    return this.#inHand.size === 0
  }

  interests(): readonly Interest[] {
    return this.#interests
  }

  onInterests(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  plan(message: Message): ChainPlan {
    return this.#plans.of(message)
  }

  receive(message: Message, plan: ChainPlan, attempt: Attempt): Outcome | Promise<Outcome> {
    const route = plan.routes[0]
    if (this.#loss !== undefined) return { type: 'retry', afterMs: undefined, error: this.#loss, route }
    const job = ++this.#numbers
    const outcome = new Deferred<Outcome>()
    this.#inHand.set(job, { attempt, route, outcome })
    const wire = wireMessage(message)
    this.#line.post({ type: 'deliver', job, message: wire, attempt: attempt.number }, [
      wire.payload.buffer as ArrayBuffer,
    ])
    const { signal } = attempt
    signal.addEventListener('abort', () => this.#tell('abort', job, signal.reason), { once: true })
    attempt.chain = {
      giveUp: async (error) => {
        this.#tell('giveUp', job, error)
        this.#gaveUp()
        return { type: 'failed', error, route }
      },
    }
    return outcome.promise
  }

  async connected(client: Client, session: SessionInfo): Promise<void> {
    this.client = client
    await this.#call((call) => ({ type: 'connected', call, session }))
  }

  async disconnected(reason: DisconnectReason): Promise<void> {
    await this.#call((call) => ({ type: 'disconnected', call, reason: wireReason(reason) }))
  }

  /** What the thread says of itself and its messages. */
  heard(news: FromThread): void {
    if (news.type === 'table') this.#planned(news)
    else if (news.type === 'extend') this.#inHand.get(news.job)?.attempt.extend(news.ms)
    else if (news.type === 'begins') this.#inHand.get(news.job)?.attempt.begins?.(news.afterMs)
    else if (news.type === 'waits') {
      const inHand = this.#inHand.get(news.job)
      if (inHand !== undefined) inHand.attempt.isWaiting = true
    } else if (news.type === 'told') this.#wasTold(news.call)
    else if (news.type === 'outcome') {
      const inHand = this.#inHand.get(news.job)
      this.#inHand.delete(news.job)
      inHand?.outcome.resolve(outcomeOf(news.outcome))
    }
  }

  /** The thread is gone: what it had in hand is to be tried again, on the next one. */
  lost(cause: Error): void {
    this.client = unattachedClient
    this.#loss = new MqttasgiError(
      'ERR_WORKER_CRASHED',
      `The thread of worker "${this.id}" ended with the message in hand: ${cause.message}`,
      { cause, receiver: this.id },
    )
    for (const { outcome, route } of this.#inHand.values()) {
      outcome.resolve({ type: 'retry', afterMs: undefined, error: this.#loss, route })
    }
    this.#inHand.clear()
    for (const call of this.#told.keys()) this.#wasTold(call)
  }

  #planned({ interests, table }: Extract<FromThread, { readonly type: 'table' }>): void {
    this.#interests = interests
    this.#plans = new TablePlans(table)
    for (const listener of this.#listeners) listener()
  }

  #tell(type: 'abort' | 'giveUp', job: number, reason: unknown): void {
    if (this.#inHand.has(job)) this.#line.post({ type, job, error: wireError(reason) })
  }

  #call(messageOf: (call: number) => ToThread): Promise<void> {
    if (this.#loss !== undefined) return Promise.resolve()
    const call = ++this.#numbers
    const told = new Promise<void>((resolve) => this.#told.set(call, resolve))
    this.#line.post(messageOf(call))
    return told
  }

  #wasTold(call: number): void {
    this.#told.get(call)?.()
    this.#told.delete(call)
  }
}
