// What was asked of mqttasgi dlq: its own flags, read and checked, and the filter that they make.
import type { DeadLetter, DeadLetterCause } from '../core/dead-letter.ts'
import { MqttasgiError } from '../core/errors.ts'
import { filterFault, matches } from '../core/topic.ts'
import { nearest } from '../config/near.ts'
import { show } from '../config/value.ts'

/** A flag that only this command has. */
export interface OwnFlag {
  readonly long: string
  /** The name of its value; without one it stands alone. */
  readonly value?: string
  readonly sentence: string
}

/** In the order of --help. */
export const dlqFlags: readonly OwnFlag[] = [
  {
    long: '--topic',
    value: 'FILTER',
    sentence: 'only letters whose topic this filter matches, as in sensors/#',
  },
  {
    long: '--since',
    value: 'TIME',
    sentence: 'only letters from then on: 2026-11-25, 2026-11-25T10:00, or 2h ago',
  },
  { long: '--until', value: 'TIME', sentence: 'only letters before then' },
  {
    long: '--cause',
    value: 'CAUSE',
    sentence: 'only letters that failed, or were rejected, held or crashed',
  },
  { long: '--route', value: 'PATTERN', sentence: 'only letters of the route with this pattern' },
  { long: '--limit', value: 'COUNT', sentence: 'only so many letters, the oldest' },
  { long: '--json', sentence: 'JSON, one line a letter' },
  { long: '--payload', value: 'FORM', sentence: 'of show: text, hex or base64; text unless it is none' },
  {
    long: '--to',
    value: 'PLACE',
    sentence: 'of replay: broker publishes them anew, application runs them here',
  },
  { long: '--yes', sentence: 'of purge: all of them, or the oldest, where nothing says which' },
]

export type DlqAction = 'ls' | 'show' | 'replay' | 'purge'

const actions: readonly DlqAction[] = ['ls', 'show', 'replay', 'purge']
const causes: readonly DeadLetterCause[] = ['failed', 'rejected', 'held', 'crashed', 'oversized']
const forms = ['text', 'hex', 'base64'] as const
const places = ['broker', 'application'] as const

/** Flags by their long names without dashes; the value of those that stand alone is `true`. */
export type DlqFlags = Readonly<Record<string, string | true | undefined>>

/** Which letters are meant. */
export interface LetterFilter {
  /** Ids, or how they begin. */
  readonly ids: readonly string[]
  readonly topic: string | undefined
  /** Milliseconds since 1970. */
  readonly since: number | undefined
  readonly until: number | undefined
  readonly cause: DeadLetterCause | undefined
  readonly route: string | undefined
  readonly limit: number | undefined
}

export interface DlqQuestion {
  readonly action: DlqAction
  readonly filter: LetterFilter
  readonly isJson: boolean
  readonly payload: (typeof forms)[number] | undefined
  readonly to: (typeof places)[number] | undefined
  readonly isSure: boolean
}

/** Code: `ERR_USAGE`. `now` is what times ago are counted from. */
export function readQuestion(
  action: string | undefined,
  ids: readonly string[],
  { flags, now }: { readonly flags: DlqFlags; readonly now: number },
): DlqQuestion {
  const question: DlqQuestion = {
    action: actionOf(action),
    filter: {
      ids,
      topic: topicOf(textOf(flags['topic'])),
      since: timeOf('since', textOf(flags['since']), now),
      until: timeOf('until', textOf(flags['until']), now),
      cause: choiceOf('cause', textOf(flags['cause']), causes),
      route: textOf(flags['route']),
      limit: limitOf(textOf(flags['limit'])),
    },
    isJson: flags['json'] === true,
    payload: choiceOf('payload', textOf(flags['payload']), forms),
    to: choiceOf('to', textOf(flags['to']), places),
    isSure: flags['yes'] === true,
  }
  refuseForeign(question.action, flags)
  refuseHalf(question)
  return question
}

/** Whether a letter is one of those that are meant, but for ids and limit. */
export function isMeant(letter: DeadLetter, { topic, since, until, cause, route }: LetterFilter): boolean {
  return (
    (topic === undefined || matches(topic, letter.topic)) &&
    (since === undefined || letter.deadAt >= since) &&
    (until === undefined || letter.deadAt < until) &&
    (cause === undefined || letter.cause === cause) &&
    (route === undefined || letter.route === route)
  )
}

/** Whether fewer than all letters may be meant. */
export function isNarrow(filter: LetterFilter): boolean {
  return saysWhich(filter) || filter.limit !== undefined
}

// How many is no answer to which: a large number would be all of them.
function saysWhich({ ids, topic, since, until, cause, route }: LetterFilter): boolean {
  return ids.length > 0 || [topic, since, until, cause, route].some((given) => given !== undefined)
}

/** Flags that mean nothing to other actions than these. */
const owners: Readonly<Record<string, readonly DlqAction[]>> = {
  to: ['replay'],
  yes: ['purge'],
  payload: ['show'],
  json: ['ls', 'show'],
}

function refuseForeign(action: DlqAction, flags: DlqFlags): void {
  for (const [flag, of] of Object.entries(owners)) {
    if (flags[flag] === undefined || of.includes(action)) continue
    const names = of.map((name) => `dlq ${name}`).join(' and ')
    throw usage(`--${flag} belongs to ${names}, not to dlq ${action}.`)
  }
}

function refuseHalf({ action, filter, to, isSure }: DlqQuestion): void {
  if (action === 'show' && filter.ids.length === 0)
    throw usage('dlq show needs the id of a letter, as in mqttasgi dlq show 0mi9ab3c. dlq ls lists them.')
  if (action === 'replay' && to === undefined) {
    throw usage(
      'dlq replay needs --to broker or --to application. broker publishes each letter to its topic again, where every subscriber gets it; application runs it here, in the application and for the receiver that had failed, and nobody else sees it.',
    )
  }
  if (action !== 'purge' || isSure || saysWhich(filter)) return
  const what =
    filter.limit === undefined
      ? 'without a filter removes all dead letters'
      : 'with nothing but --limit removes the oldest dead letters, whichever they are,'
  throw usage(`dlq purge ${what} for good. Say --yes if you mean that.`)
}

function actionOf(action: string | undefined): DlqAction {
  const found = actions.find((name) => name === action)
  if (found !== undefined) return found
  if (action === undefined) throw usage(`dlq needs to be told what to do: ${actions.join(', ')}.`)
  const near = nearest(action, actions)
  throw usage(
    `there is no dlq ${action}. ${near === undefined ? `There are ${actions.join(', ')}.` : `Did you mean ${near}?`}`,
  )
}

function topicOf(filter: string | undefined): string | undefined {
  if (filter === undefined) return undefined
  const fault = filterFault(filter)
  if (fault === undefined) return filter
  throw usage(
    `--topic: expected a filter such as sensors/+/temp or sensors/#, got ${show(filter)}: ${fault}.`,
  )
}

const units: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

// With a blank it is as ls and show print it.
const aTime =
  /^(\d{4}-\d\d-\d\d)(?:[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?$/

function timeOf(flag: string, text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined
  const [, count, unit] = /^(\d+(?:\.\d+)?)([smhd])(?: ago)?$/.exec(text.trim()) ?? []
  if (count !== undefined) return now - Number(count) * (units[unit ?? ''] ?? 0)
  const [whole, day] = aTime.exec(text.trim()) ?? []
  const time = whole === undefined || !isDay(day) ? NaN : Date.parse(whole.replace(' ', 'T'))
  if (!Number.isNaN(time)) return time
  throw usage(
    `--${flag}: expected a time such as 2026-11-25, 2026-11-25T10:00, 2026-11-25T10:00Z, or 90s, 30m, 2h, 7d for so long ago; got ${show(text)}.`,
  )
}

// Date.parse() takes the 31st of February for the 3rd of March.
function isDay(day = ''): boolean {
  const time = Date.parse(day)
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(day)
}

function limitOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw usage(`--limit: expected a whole number from 1 on, got ${show(text)}.`)
}

function choiceOf<T extends string>(
  flag: string,
  text: string | undefined,
  choices: readonly T[],
): T | undefined {
  if (text === undefined) return undefined
  const found = choices.find((choice) => choice === text)
  if (found !== undefined) return found
  throw usage(`--${flag}: expected one of ${choices.join(', ')}, got ${show(text)}.`)
}

function textOf(flag: string | true | undefined): string | undefined {
  return typeof flag === 'string' ? flag : undefined
}

function usage(message: string): MqttasgiError {
  return new MqttasgiError('ERR_USAGE', message)
}
