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
  /** Of the messages in hand for more than twice as long as they may be, how long the oldest is; 0 when there is none. */
  readonly overdueMs: number
  /** What others than the server itself have to say against it. */
  readonly faults?: readonly string[] | undefined
}

/** `ready`: messages come and are dealt with. `reasons`: why not, a sentence each. */
export interface Health {
  readonly ready: boolean
  readonly reasons: readonly string[]
}

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
  outboxFault,
  overdueMs,
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
  // It holds up all acknowledgements behind it.
  if (overdueMs > 0)
    reasons.push(
      `A message has been in hand for ${Math.round(overdueMs / 100) / 10} s, more than twice as long as it may be.`,
    )
  reasons.push(...faults)
  return { ready: reasons.length === 0, reasons }
}
