// Health: whether this server does what it is there for, told from facts, and if not, why.

/** What is known of a server. */
export interface HealthFacts {
  readonly state: 'idle' | 'connecting' | 'connected' | 'waiting' | 'stopping' | 'closed'
  /** The broker has granted all that is wanted. */
  readonly isSubscribed: boolean
  /** Why dead letters can not be kept. */
  readonly deadLetterFault: Error | undefined
  /** Why publications can not be kept on disk, or those that are over not taken off it. */
  readonly outboxFault: Error | undefined
  /** Why it can not be kept which messages of QoS 2 were done with. */
  readonly exchangeFault: Error | undefined
  /** Milliseconds since the oldest message in hand was begun; undefined when there is none. */
  readonly oldestMs: number | undefined
  /** What others than the server itself have to say against it. */
  readonly faults?: readonly string[] | undefined
}

/** `ready`: messages come and are dealt with. `reasons`: why not, a sentence each. */
export interface Health {
  readonly ready: boolean
  readonly reasons: readonly string[]
}

/** A message in hand for longer than this holds up all acknowledgements behind it: twice the default of `holdMs`. */
const LONG_MS = 120_000

const states: Readonly<Record<HealthFacts['state'], string | undefined>> = {
  idle: 'The server has not been started.',
  connecting: 'There is no connection to the broker: it is being made.',
  connected: undefined,
  waiting: 'There is no connection to the broker: the last try failed, the next one is waited for.',
  stopping: 'The server stops.',
  closed: 'The server has stopped.',
}

export function healthOf({
  deadLetterFault,
  exchangeFault,
  faults = [],
  isSubscribed,
  oldestMs,
  outboxFault,
  state,
}: HealthFacts): Health {
  const reasons: string[] = []
  const inState = states[state]
  if (inState !== undefined) reasons.push(inState)
  else if (!isSubscribed) reasons.push('The broker has not granted all subscriptions.')
  if (deadLetterFault !== undefined)
    reasons.push(
      `Dead letters can not be kept, so their messages stay unacknowledged: ${deadLetterFault.message}`,
    )
  if (outboxFault !== undefined)
    reasons.push(
      `Publications can not be kept on disk, or those that are over not taken off it: ${outboxFault.message}`,
    )
  if (exchangeFault !== undefined)
    reasons.push(`No message of QoS 2 can be acknowledged: ${exchangeFault.message}`)
  if (oldestMs !== undefined && oldestMs > LONG_MS)
    reasons.push(`A message has been in hand for ${Math.round(oldestMs / 1_000)} s.`)
  reasons.push(...faults)
  return { ready: reasons.length === 0, reasons }
}
