// mqttasgi dlq: looks at the dead letters, runs or publishes them again, and removes them.
import type { DeadLetter, DeadLetterArchive } from '../core/dead-letter.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { Settings } from '../config/settings.ts'
import { show } from '../config/value.ts'
import { openArchive } from '../durable/open-dead-letters.ts'
import { deadLetterPlan } from '../stores.ts'
import { type Command, type CommandContext, configure } from './command.ts'
import { type DlqQuestion, isMeant, isNarrow, type LetterFilter, readQuestion } from './dlq-question.ts'
import { headings, letterInWords, lineOf, rowOf } from './dlq-letters.ts'
import { replay } from './dlq-replay.ts'
import { exitCodes } from './exit-codes.ts'
import { alignColumns } from './tree.ts'

// More of them nobody reads on a screen.
const MOST_ROWS = 100
const PURGED_AT_ONCE = 100

/** Does what it is asked; letters are removed for good only by `purge`, and by `replay` when it has gone well. */
export const dlq: Command = async (context) => {
  const { action, ids, flags } = context.invocation.dlq ?? { action: undefined, ids: [], flags: {} }
  const now = Date.now()
  const asked = readQuestion(action, ids, { flags, now })
  const configured = await configure(context)
  const archive = openArchive(deadLetterPlan(configured.settings))
  try {
    await refuseWhereNoneAre(configured.settings, archive, context)
    const question = { ...asked, filter: await withWholeIds(archive, asked.filter) }
    if (question.action === 'ls') return await list(context, archive, question)
    if (question.action === 'show') return await showLetters(context, archive, question)
    if (question.action === 'purge') return await purge(context, archive, question)
    // What fails again while this runs would be replayed for ever.
    const until = Math.min(now, question.filter.until ?? now)
    const letters = lettersOf(archive, { ...question.filter, until })
    const nothing = noneIn(archive, question.filter)
    return await replay(context, { archive, configured, letters, nothing, to: question.to ?? 'broker' })
  } finally {
    await archive.close()
  }
}

/** The same filter with whole ids. Throws when no letter begins so; code `ERR_USAGE` when more than one does. */
async function withWholeIds(archive: DeadLetterArchive, filter: LetterFilter): Promise<LetterFilter> {
  if (filter.ids.length === 0) return filter
  const found = new Map<string, string>()
  for await (const letter of archive.letters()) {
    for (const id of filter.ids) {
      if (!letter.id.startsWith(id)) continue
      if (found.has(id))
        throw new MqttasgiError(
          'ERR_USAGE',
          `more than one dead letter begins with ${show(id)}: say more of it.`,
        )
      found.set(id, letter.id)
    }
  }
  const missing = filter.ids.find((id) => !found.has(id))
  // No mistake in the words: it may have been there a moment ago.
  if (missing !== undefined) throw new Error(`there is no dead letter ${show(missing)}.`)
  return { ...filter, ids: [...new Set(found.values())] }
}

/** The letters that are meant, oldest first. */
async function* lettersOf(archive: DeadLetterArchive, filter: LetterFilter): AsyncGenerator<DeadLetter> {
  const { ids, limit = Infinity } = filter
  let count = 0
  for await (const letter of archive.letters()) {
    const isNamed = ids.length === 0 || ids.includes(letter.id)
    if (!isNamed || !isMeant(letter, filter)) continue
    if (++count > limit) return
    yield letter
  }
}

// With a topic only what could not go there is here, and whoever looks for the others must be told.
async function refuseWhereNoneAre(
  { deadLetter }: Settings,
  archive: DeadLetterArchive,
  { terminal }: CommandContext,
): Promise<void> {
  const { store, topic } = deadLetter
  if (store !== 'topic' && store !== 'none') return
  const where =
    store === 'topic'
      ? `dead letters are published to "${topic}" (deadLetter.store is topic), and only its subscribers have them`
      : 'dead letters are not kept (deadLetter.store is none)'
  for await (const _ of archive.letters()) {
    terminal.say(`${where}; these are the ones in ${archive.name}`)
    return
  }
  throw new MqttasgiError('ERR_DEAD_LETTERS_ELSEWHERE', `${where}.`)
}

async function list(
  { terminal }: CommandContext,
  archive: DeadLetterArchive,
  { filter, isJson }: DlqQuestion,
): Promise<number> {
  const rows: (readonly string[])[] = []
  let more = 0
  for await (const letter of lettersOf(archive, filter)) {
    if (isJson) terminal.print(lineOf(letter))
    else if (filter.limit !== undefined || rows.length < MOST_ROWS) rows.push(rowOf(letter))
    else more++
  }
  if (isJson) return exitCodes.clean
  if (rows.length === 0) terminal.say(noneIn(archive, filter))
  else terminal.print(alignColumns([headings, ...rows]).join('\n'))
  if (more > 0) terminal.say(`and ${more} more; --limit shows as many as you say`)
  return exitCodes.clean
}

async function showLetters(
  { terminal }: CommandContext,
  archive: DeadLetterArchive,
  { filter, isJson, payload }: DlqQuestion,
): Promise<number> {
  for await (const letter of lettersOf(archive, filter)) {
    terminal.print(isJson ? lineOf(letter, { withPayload: true }) : letterInWords(letter, payload).join('\n'))
    if (!isJson) terminal.print('')
  }
  return exitCodes.clean
}

async function purge(
  { terminal, signals }: CommandContext,
  archive: DeadLetterArchive,
  { filter }: DlqQuestion,
): Promise<number> {
  const ids: string[] = []
  for await (const { id } of lettersOf(archive, filter)) ids.push(id)
  let removed = 0
  while (ids.length > 0 && signals.asked === undefined)
    removed += await archive.remove(ids.splice(0, PURGED_AT_ONCE))
  terminal.say(`removed ${inWords(removed)} from ${archive.name}`)
  if (ids.length === 0) return exitCodes.clean
  terminal.say(`interrupted: ${inWords(ids.length)} not removed`)
  return exitCodes[signals.asked ?? 'SIGINT']
}

function noneIn({ name }: DeadLetterArchive, filter: LetterFilter): string {
  return `no dead letters ${isNarrow(filter) ? 'that match ' : ''}in ${name}`
}

function inWords(letters: number): string {
  return letters === 1 ? '1 letter' : `${letters} letters`
}
