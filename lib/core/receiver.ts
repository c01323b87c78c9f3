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
  /** Its route has `order: 'strict'`. */
  readonly strict?: boolean
  /** Its route has an overflow policy other than `block`. */
  readonly sheds?: boolean
  /** Where it was written, for messages to people: the pattern of the route. */
  readonly source: string
}

/** In which order the messages of one receiver may be handled. */
export type Order = 'topic' | 'key' | 'strict' | 'none'

/** What to do with a message that can not start at once while too many of its route wait already. */
export type Overflow = 'block' | 'drop-oldest' | 'drop-newest' | 'latest'

/** A class of errors, for `instanceof`. */
export type ErrorClass = abstract new (...args: never[]) => Error

/** How often and when a failed message is tried again. */
export interface RetryPolicy {
  /** Starts in all, the first included. */
  readonly attempts: number
  readonly minDelayMs: number
  readonly maxDelayMs: number
  /** Full jitter: each wait is a random part of its delay. */
  readonly jitter: boolean
  /** Errors of these classes are not tried again. */
  readonly never: readonly ErrorClass[]
}

/** What follows when a chain fails at one of its routes. */
export interface FailurePolicy {
  readonly retry: RetryPolicy
  readonly deadLetter: boolean
}

/** Messages that may only run so many at a time. */
export interface ConcurrencyLimit {
  /** The pattern of the route. */
  readonly name: string
  readonly most: number
}

/** What becomes of messages that can not start at once. */
export interface SheddingPolicy {
  /** The pattern of the route. */
  readonly name: string
  readonly overflow: Exclude<Overflow, 'block'>
  readonly maxWaiting: number
  /** 0 for none. */
  readonly throttleMs: number
  readonly debounceMs: number
}

/** What the server must know of a message before its receiver runs. */
export interface Plan {
  /** The patterns of the routes that will run, in order; empty when no route matches. */
  readonly routes: readonly string[]
  /** `topic`: one at a time per topic; `key`: per `keyOf`; `strict`: one at a time; `none`: no order. */
  readonly order: Order
  /** May throw what the user's function throws. */
  readonly keyOf: ((message: Message) => string) | undefined
  /** Sorted by name, so that two messages never wait for each other. */
  readonly limits: readonly ConcurrencyLimit[]
  /** Undefined where messages wait as long as it takes. */
  readonly shedding: SheddingPolicy | undefined
  /**
   * It is dealt with in the call that brings it. With QoS 0 it then waits for no place, and also comes while the server
   * stops: what handlers wait for, who have the places, is said so.
   */
  readonly isPrompt?: boolean
  /** Milliseconds one attempt may take; 0 for no limit but that of `holdMs`. */
  readonly timeoutMs: number
  /** Milliseconds for all attempts and the waits between them; 0 for no limit. */
  readonly holdMs: number
  /** By the pattern of the route that failed; undefined for what failed in front of every route. */
  readonly failurePolicy: (route: string | undefined, qos: QoS) => FailurePolicy
}

/** A chain that is running: what it is told when nobody waits for it any more. */
export interface RunningChain {
  /** Its time is over: enters no further layer, tells onError. Resolves with what that makes of it. */
  giveUp(error: Error): Promise<Outcome>
}

/** One run of a receiver for one message. */
export interface Attempt {
  /** 1 for the first. */
  readonly number: number
  /** Aborts when the attempt has timed out or the server stops waiting. Made when first read. */
  readonly signal: AbortSignal
  /** Give this attempt, and the whole message, `ms` more milliseconds. */
  extend(ms: number): void
  /** Set by the receiver when what it returned is a promise. */
  chain: RunningChain | undefined
  /** Set by a receiver that can not begin yet: until `begins()` only `holdMs` limits it. */
  isWaiting?: boolean
  /** It begins now, after so many milliseconds that do not count for `timeoutMs`. */
  begins?(afterMs: number): void
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
  | {
      readonly type: 'rejected'
      readonly error: Error
      readonly route: string | undefined
      /** For PUBACK of MQTT 5 (3.4.2.1); 0 for none. */
      readonly reasonCode: number
    }
  | { readonly type: 'dropped'; readonly error: Error; readonly route: string | undefined }
  /** It was not begun, for its receiver has ended: that was no attempt, and whoever comes next gets it. */
  | { readonly type: 'notTaken'; readonly error: Error; readonly route: string | undefined }

/** Milliseconds that a receiver has at least for its last `disconnected()`: whoever takes its place waits for so long. */
export const FAREWELL_MS = 5_000

/** Why the connection of a receiver ended. */
export interface DisconnectReason {
  readonly type: 'lost' | 'stopped' | 'failed' | 'killed'
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
  /** What it wants is known when it is done with its first connection: a server has not started before. */
  readonly asksWhenConnected?: boolean
  /** A handler may wait for a message that comes to it: the socket is read on for it, as far as that goes. */
  readonly isAnswerDue?: boolean
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
