// Chooses the store of dead letters that the settings ask for; none of them touches a disk or a network yet.
import { join } from 'node:path'
import type { DeadLetterArchive, DeadLetterStore } from '../core/dead-letter.ts'
import { JournalDeadLetters, type JournalDeadLettersOptions } from './journal-dead-letters.ts'
import { RedisDeadLetters } from './redis-dead-letters.ts'
import { TopicDeadLetters, type TopicDeadLettersOptions } from './topic-dead-letters.ts'

/** What was decided about dead letters. */
export interface DeadLetterPlan {
  readonly stateDir: string
  readonly store: 'journal' | 'topic' | 'redis' | 'none'
  readonly topic: string | undefined
  /** With its password, and for people without it. */
  readonly redis: { readonly url: string; readonly address: string } | undefined
  readonly unverified: boolean
  readonly maxMessages: number
  readonly maxBytes: number
}

/** How a topic is published to, what is known of the broker, and who is told of damage. */
export type LetterSurroundings = Pick<TopicDeadLettersOptions, 'publish' | 'protocolVersion'> &
  Required<Pick<JournalDeadLettersOptions, 'warn'>>

/** The store of a server; undefined when there shall be none. */
export function openDeadLetters(
  plan: DeadLetterPlan,
  { publish, protocolVersion, warn }: LetterSurroundings,
): DeadLetterStore | undefined {
  const { store, topic, unverified } = plan
  if (store === 'none') return undefined
  if (store !== 'topic' || topic === undefined) return openArchive(plan, warn)
  const spool = journalOf(plan, warn)
  return new TopicDeadLetters({ topic, unverified, spool, publish, protocolVersion })
}

/**
 * Where the letters of these settings can be looked at. With `topic` that is the journal, which has those
 * that could not go there; with `none` too, for what is left of former settings.
 */
export function openArchive(plan: DeadLetterPlan, warn?: LetterSurroundings['warn']): DeadLetterArchive {
  const { redis, maxMessages, maxBytes } = plan
  if (redis === undefined) return journalOf(plan, warn)
  return new RedisDeadLetters({ ...redis, maxMessages, maxBytes })
}

function journalOf(
  { stateDir, maxMessages, maxBytes }: DeadLetterPlan,
  warn: LetterSurroundings['warn'] = () => {},
): JournalDeadLetters {
  return new JournalDeadLetters({ folder: join(stateDir, 'dead-letters'), maxMessages, maxBytes, warn })
}
