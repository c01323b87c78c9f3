// Errors and outcomes as they cross between threads: plain data on the way, errors with name, code and stack again behind it.
import { errorCodes, MqttasgiError, toError, type ErrorCode } from '../core/errors.ts'
import type { Outcome } from '../core/receiver.ts'

/** An error as plain data. */
export interface WireError {
  readonly name: string
  readonly message: string
  readonly stack: string | undefined
  readonly code?: string
  readonly topic?: string | undefined
  readonly receiver?: string | undefined
  readonly cause?: WireError
}

/** An outcome as plain data. */
export type WireOutcome =
  | { readonly type: 'done'; readonly handled: boolean }
  | {
      readonly type: Exclude<Outcome['type'], 'done'>
      readonly error: WireError
      readonly route: string | undefined
      readonly afterMs?: number | undefined
      readonly reasonCode?: number
      /** It is not to be tried again, which only the thread with its classes can tell. */
      readonly isFinal: boolean
    }

/** An error of another thread. Its class is not there; its name, code and stack are. */
export class RemoteError extends Error {
  readonly code: string | undefined

  constructor({ code, message, name, stack }: WireError, cause: Error | undefined) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = name
    this.code = code
    if (stack !== undefined) this.stack = stack
  }
}

/** One that is not to be tried again: what `retry.never` is for messages of a thread. */
export class FinalRemoteError extends RemoteError {}

const MOST_CAUSES = 4

export function wireError(thrown: unknown, depth = 0): WireError {
  const error = toError(thrown)
  const { cause, message, name, stack } = error
  const code: unknown = Reflect.get(error, 'code')
  return {
    name,
    message,
    stack: typeof stack === 'string' ? stack : undefined,
    ...(typeof code === 'string' ? { code } : {}),
    ...(error instanceof MqttasgiError ? { topic: error.topic, receiver: error.receiver } : {}),
    ...(cause === undefined || depth === MOST_CAUSES ? {} : { cause: wireError(cause, depth + 1) }),
  }
}

export function errorOf(wire: WireError, isFinal = false): Error {
  const cause = wire.cause === undefined ? undefined : errorOf(wire.cause)
  if (!isOurs(wire)) return isFinal ? new FinalRemoteError(wire, cause) : new RemoteError(wire, cause)
  const { code, message, receiver, stack, topic } = wire
  const error = new MqttasgiError(code, message, {
    ...(cause === undefined ? {} : { cause }),
    ...(topic === undefined ? {} : { topic }),
    ...(receiver === undefined ? {} : { receiver }),
  })
  if (isFinal && !error.isFinal) return new FinalRemoteError(wire, cause)
  if (stack !== undefined) error.stack = stack
  return error
}

export function wireOutcome(outcome: Outcome, isFinal: (error: Error) => boolean): WireOutcome {
  if (outcome.type === 'done') return outcome
  const { error, ...rest } = outcome
  return { ...rest, error: wireError(error), isFinal: isFinal(error) }
}

export function outcomeOf(wire: WireOutcome): Outcome {
  if (wire.type === 'done') return wire
  const { afterMs, isFinal, reasonCode = 0, route, type } = wire
  const error = errorOf(wire.error, isFinal)
  if (type === 'retry') return { type, error, route, afterMs }
  if (type === 'rejected') return { type, error, route, reasonCode }
  return { type, error, route }
}

function isOurs(wire: WireError): wire is WireError & { readonly code: ErrorCode } {
  return wire.name === 'MqttasgiError' && wire.code !== undefined && Object.hasOwn(errorCodes, wire.code)
}
