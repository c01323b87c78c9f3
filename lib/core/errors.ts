// The one error class of the project and the table of its codes; docs/errors.md says more about each.

/** What a code means and what usually mends it. `kind` decides the exit code of the command line. */
export interface ErrorEntry {
  readonly kind: 'program' | 'config' | 'usage' | 'connection' | 'takeover' | 'delivery'
  readonly means: string
  readonly mend: string
}

/** Every code an error of this package can carry. */
export const errorCodes = {
  // --- topics, filters and patterns -------------------------------------------------------------
  ERR_TOPIC_INVALID: {
    kind: 'program',
    means: 'A topic name is not one the standard allows.',
    mend: 'Publish to a topic of 1 to 65,535 bytes without +, # and NUL.',
  },
  ERR_FILTER_INVALID: {
    kind: 'program',
    means: 'A topic filter is not one the standard allows.',
    mend: 'Let + stand for a whole level and # for the last one only.',
  },
  ERR_PATTERN_INVALID: {
    kind: 'program',
    means: 'A pattern can not be read: its wildcards or its names are wrong.',
    mend: 'Write +name for one level and #name as the last level, each name once.',
  },
  ERR_PATTERN_FILL: {
    kind: 'program',
    means: 'A pattern was filled with a value that is missing or would change the topic.',
    mend: 'Give every name a non-empty value without /, +, # and NUL.',
  },
  // --- embedded broker --------------------------------------------------------------------------
  ERR_PEER_MISSING: {
    kind: 'config',
    means: 'A package that is only needed for this feature is not installed, or too old.',
    mend: 'Run the npm install command of the message.',
  },
  ERR_BROKER_OPTION: {
    kind: 'config',
    means: 'The embedded broker was given an option it does not take, or a host that is not loopback.',
    mend: 'Give a port from 0 to 65535 and 127.0.0.1, ::1 or localhost as host.',
  },
  ERR_BROKER_PORT: {
    kind: 'config',
    means: 'The embedded broker can not listen on its port: it is taken, or not allowed.',
    mend: 'Stop what listens there, connect to that broker instead, or give another port.',
  },
  ERR_BROKER_CLOSED: {
    kind: 'program',
    means: 'The embedded broker was used after it was closed.',
    mend: 'Publish before close(), or start another one.',
  },
} as const satisfies Record<string, ErrorEntry>

/** One of the codes of `errorCodes`. */
export type ErrorCode = keyof typeof errorCodes

/** What an error may carry besides its message. */
export interface ErrorDetails {
  readonly cause?: unknown
  readonly topic?: string
  readonly receiver?: string
}

/**
 * Every error this package throws on purpose.
 *
 * `code` is one of `errorCodes`; `cause` keeps what was thrown first; `topic` and `receiver` say where
 * it happened, when there is such a place.
 *
 * @example
 * try { pattern('a+') } catch (error) { if (error instanceof MqttasgiError) console.error(error.code) }
 */
export class MqttasgiError extends Error {
  readonly code: ErrorCode
  readonly topic: string | undefined
  readonly receiver: string | undefined

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined)
    this.code = code
    this.topic = details.topic
    this.receiver = details.receiver
  }

  /** The kind of mistake or event behind the code. */
  get kind(): ErrorEntry['kind'] {
    return errorCodes[this.code].kind
  }
}

// On the prototype, so that a stack trace and a printed error both begin with it.
MqttasgiError.prototype.name = 'MqttasgiError'

/** Whatever was thrown, as an Error: strings and objects are wrapped, errors are kept. */
export function toError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown
  return new Error(typeof thrown === 'string' ? thrown : `A value was thrown: ${String(thrown)}`, {
    cause: thrown,
  })
}
