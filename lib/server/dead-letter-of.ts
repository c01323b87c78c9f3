// Makes the dead letter of a message: all that is known of it, and nothing that is not fit to be kept.
import { randomBytes } from 'node:crypto'
import type { DeadLetter, DeadLetterCause, DeadLetterError } from '../core/dead-letter.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { Message } from '../core/message.ts'
import type { Job } from './job.ts'
import type { Burial } from './settlement.ts'

/** What a letter says beside its message. */
export interface LetterStamp {
  readonly clientId: string
  /** Milliseconds since 1970. */
  readonly deadAt: number
  /** Milliseconds the message was in hand. */
  readonly heldMs: number
}

const neverRun: ReadonlySet<DeadLetterCause> = new Set(['crashed', 'oversized'])
const LONGEST_TEXT = 1_024

export function deadLetterOf(
  job: Job,
  burial: Burial,
  { clientId, deadAt, heldMs }: LetterStamp,
): DeadLetter {
  const { topic, payload, qos, retain, dup, properties, share } = job.delivery.arrival
  return {
    id: letterId(deadAt),
    topic,
    // A copy: the bytes are a view into a chunk of the socket, and may be kept for long.
    payload: Buffer.from(payload),
    qos,
    retain,
    dup,
    properties,
    cause: burial.cause,
    error: errorOf(burial.error),
    receiver: job.slot.receiver.id,
    route: burial.route,
    share: shareOf(share),
    attempts: neverRun.has(burial.cause) ? 0 : job.number,
    arrivedAt: deadAt - Math.round(heldMs),
    deadAt,
    clientId,
  }
}

// What is left out in JSON is not known: so letters read that were kept before there was a share in them.
function shareOf(share: Message['share']): DeadLetter['share'] {
  return share === undefined ? null : (share ?? undefined)
}

// Nine digits of base 36 last until the year 5188.
function letterId(at: number): string {
  return `${at.toString(36).padStart(9, '0')}-${randomBytes(6).toString('hex')}`
}

function errorOf(error: Error): DeadLetterError {
  const code = error instanceof MqttasgiError ? error.code : 'code' in error ? error.code : undefined
  return {
    name: plain(error.name),
    message: plain(error.message),
    code: typeof code === 'string' ? plain(code) : undefined,
  }
}

// What a device sent may stand in it: no control characters, and not without end.
function plain(text: string): string {
  const line = text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/gu, ' ')
  return line.length > LONGEST_TEXT ? `${line.slice(0, LONGEST_TEXT - 1)}…` : line
}
