// The limits of the outbox, and what gives way when they are reached.
import { matches } from '../core/topic.ts'

/** How much may wait for the broker, for how long, and what happens then. */
export interface OutboxPolicy {
  /** Publications of QoS 1 and 2 without an answer, and those of QoS 0 that wait. */
  readonly maxMessages: number
  /** Of the frames of all publications that have no answer yet or are not written yet. */
  readonly maxBytes: number
  /** What a publication takes in memory beside its frame; 0 unless told otherwise. */
  readonly bytesBesideFrame?: number
  /** Milliseconds a publication may wait; no limit unless told otherwise. */
  readonly maxAgeMs?: number
  /** Refuse the new one (the default), or drop those that have waited longest. */
  readonly whenFull?: 'reject' | 'drop-oldest'
  /** Filters of topics of which only the newest waiting publication counts. */
  readonly latest?: readonly string[]
  /** QoS 0 without a connection: refused (the default), or kept until there is one. */
  readonly qos0?: 'reject' | 'keep'
}

export function isLatestBy(filters: readonly string[]): (topic: string) => boolean {
  return (topic) => filters.some((filter) => matches(filter, topic))
}

/** How many publications and bytes are too many. */
export interface Excess {
  readonly messages: number
  readonly bytes: number
}

/**
 * The letters that must go, oldest first, so that there is room; undefined when that is not allowed, or when it would
 * not be enough.
 */
export function givingWay<L extends { readonly bytes: number }>(
  policy: OutboxPolicy,
  excess: Excess,
  waiting: Iterable<L>,
): readonly L[] | undefined {
  let { bytes, messages } = excess
  const going: L[] = []
  if (messages <= 0 && bytes <= 0) return going
  if (policy.whenFull !== 'drop-oldest') return undefined
  for (const letter of waiting) {
    going.push(letter)
    messages--
    bytes -= letter.bytes
    if (messages <= 0 && bytes <= 0) return going
  }
  return undefined
}
