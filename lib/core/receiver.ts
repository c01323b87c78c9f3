// The two ports between the server and whatever takes messages: a receiver, and the client it may use.
import type {
  Message,
  Payload,
  PublishOptions,
  PublishResult,
  QoS,
  SubscribeOptions,
  SubscribeResult,
} from './message.ts'

/** One filter that a receiver wants, with the options the broker is to be told. */
export interface Interest {
  /** A topic filter of the standard, without the share prefix. */
  readonly filter: string
  /** The share group (4.8.2), or undefined for a subscription of one's own. */
  readonly share: string | undefined
  readonly qos: QoS
  readonly noLocal: boolean
  readonly retainHandling: 0 | 1 | 2
  readonly retainAsPublished: boolean
  /** Where it was written, for messages to people: the pattern of the route. */
  readonly source: string
}

/** In which order the messages of one receiver may be handled. */
export type Order = 'topic' | 'key' | 'strict' | 'none'

/** How often and when a failed message is tried again. */
export interface RetryPolicy {
  readonly attempts: number
  readonly minDelayMs: number
  readonly maxDelayMs: number
  readonly jitter: boolean
}

/** What the server must know of a message before its receiver runs. */
export interface Plan {
  /** The patterns of the routes that will run, in order; empty when no route matches. */
  readonly routes: readonly string[]
  /** `topic`: one at a time per topic; `key`: per `keyOf`; `strict`: one at a time; `none`: no order. */
  readonly order: Order
  readonly keyOf?: (message: Message) => string
  /** How many of these may run at once; undefined leaves it to the window. */
  readonly concurrency?: number
  /** Milliseconds one attempt may take; 0 for no limit. */
  readonly timeoutMs: number
  readonly retry?: RetryPolicy
}

/** One run of a receiver for one message. */
export interface Attempt {
  /** 1 for the first. */
  readonly number: number
  /** Aborts when the attempt has timed out or the server stops waiting. Made when first read. */
  readonly signal: AbortSignal
  /** Give this attempt `ms` more milliseconds. */
  extend(ms: number): void
}

/** How an attempt ended. Only `server/settlement` decides what follows from it. */
export type Outcome =
  | { readonly type: 'done'; readonly handled: boolean }
  | { readonly type: 'failed'; readonly error: Error; readonly route: string | undefined }
  | {
      readonly type: 'retry'
      readonly afterMs: number | undefined
      readonly error: Error
      readonly route: string | undefined
    }
  | { readonly type: 'rejected'; readonly reason: string; readonly route: string | undefined }
  | { readonly type: 'dropped'; readonly reason: string; readonly route: string | undefined }

/** Why the connection of a receiver ended. */
export interface DisconnectReason {
  readonly type: 'lost' | 'stopped' | 'failed'
  readonly error?: Error
}

/** What the broker told us of the session at CONNACK. */
export interface SessionInfo {
  /** The broker still knew the session, and its subscriptions with it. */
  readonly present: boolean
  /** It should have, and did not: what it kept for us is gone. */
  readonly lost: boolean
}

/** What a receiver may ask for. */
export interface Client {
  publish(topic: string, payload: Payload, options?: PublishOptions): Promise<PublishResult>
  subscribe(filter: string, options?: SubscribeOptions): Promise<SubscribeResult>
  unsubscribe(filter: string): Promise<void>
}

/** Whatever takes deliveries: an application, a consumer's session, a worker. */
export interface Receiver<P extends Plan = Plan> {
  /** Unique on one server. */
  readonly id: string
  /** The filters this receiver wants now. */
  interests(): readonly Interest[]
  /** Calls `listener` whenever `interests()` has changed; returns its undo. */
  onInterests(listener: () => void): () => void
  /** What will happen to this message. Cheap: it is asked for every message. */
  plan(message: Message): P
  /** Runs the message through. A value instead of a promise when nothing had to be awaited. Never throws. */
  receive(message: Message, plan: P, attempt: Attempt): Outcome | Promise<Outcome>
  /** A connection is up. Called again after each reconnect. */
  connected(client: Client, session: SessionInfo): Promise<void>
  disconnected(reason: DisconnectReason): Promise<void>
}
