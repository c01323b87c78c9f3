// A message that nobody could handle, with all that is known of it, and the port to where such messages are kept.
import type { MessageProperties, QoS } from './message.ts'

/** Why a message is a dead letter. */
export type DeadLetterCause =
  /** Its chain failed as often as it may, or with an error that is never retried. */
  | 'failed'
  /** A handler threw `Reject`. */
  | 'rejected'
  /** It was in hand longer than `holdMs`. */
  | 'held'
  /** The process died with it in hand, again and again. */
  | 'crashed'
  /** It was larger than `maxPacketBytes`: of its payload and its properties nothing was kept. */
  | 'oversized'

/** What an error was, fit to be kept: no stack, its text cut and without control characters. */
export interface DeadLetterError {
  readonly name: string
  readonly message: string
  readonly code: string | undefined
}

/** One message at one receiver that could not be handled. */
export interface DeadLetter {
  /** Unique; sorts by the time at which it was made. */
  readonly id: string
  readonly topic: string
  readonly payload: Buffer
  readonly qos: QoS
  readonly retain: boolean
  readonly dup: boolean
  readonly properties: MessageProperties
  readonly cause: DeadLetterCause
  readonly error: DeadLetterError
  /** The receiver that could not handle it, and the pattern of the route, where it had come to one. */
  readonly receiver: string
  readonly route: string | undefined
  /** The share group that it had come for; null for a subscription of one's own, undefined where that is not known. */
  readonly share: string | null | undefined
  /** How often its chain was started. */
  readonly attempts: number
  /** Milliseconds since 1970: when it arrived here, and when it was given up. */
  readonly arrivedAt: number
  readonly deadAt: number
  /** The client id that had received it. */
  readonly clientId: string
}

/** Where dead letters go. The message is acknowledged when `keep` has resolved, and not before. */
export interface DeadLetterStore {
  /** For people: `journal /var/lib/app/dead-letters`, without secrets. */
  readonly name: string
  /** Resolves when the letter outlives a crash of this process; rejects when that is not sure. */
  keep(letter: DeadLetter): Promise<void>
  close(): Promise<void>
}

/** A store whose letters can be looked at and taken out again, also by another process than the one that keeps them. */
export interface DeadLetterArchive extends DeadLetterStore {
  /** The letters that are there, oldest first; throws behind the last one when there are some that it can not read. */
  letters(): AsyncIterable<DeadLetter>
  /** Takes letters out for good; says how many of them were there. */
  remove(ids: readonly string[]): Promise<number>
}
