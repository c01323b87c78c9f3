// T20: a dead letter is a stranger's message, kept for people and programs that did not expect it.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { mqttasgi, type ServeOptions } from '../../lib/index.ts'
import type { DeadLetter } from '../../lib/core/dead-letter.ts'
import { JournalDeadLetters } from '../../lib/durable/journal-dead-letters.ts'
import { decodeLetter } from '../../lib/durable/letter-bytes.ts'
import { runHere } from '../helpers/command-line.ts'
import { publishFrame, serveToHostileSide } from '../helpers/hostile-side.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const escape = '\u001b[2J\u202e\u2028\u0085\nfake: line'
const payload = Buffer.from([0, 255, 27, 91, 50, 74, 10])
const hostileTopic = `../../etc/${escape}/$(rm)/__proto__`

function hostile(): ReturnType<typeof mqttasgi> {
  return mqttasgi().topic('#', { retry: { attempts: 1 } }, (ctx) => {
    const error = new TypeError(`${escape}${ctx.text()}${'x'.repeat(100_000)}`)
    throw Object.assign(error, { code: escape })
  })
}

function isFit(t: ExecutionContext, letter: DeadLetter, topic: string): void {
  t.is(letter.topic, topic)
  t.deepEqual(letter.payload, payload)
  t.is(letter.error.name, 'TypeError')
  // oxlint-disable-next-line no-control-regex -- these are what must not be there
  const raw = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/
  for (const text of [letter.error.name, letter.error.message, letter.error.code ?? '']) {
    t.notRegex(text, raw)
    t.true(text.length <= 1_024)
  }
  t.notRegex(JSON.stringify(letter), /\bat .*\.ts:\d+/)
}

// oxlint-disable-next-line no-control-regex -- these are what must not be there
const rawButLineEnds = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/

/** Every name below a folder. */
function namesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
}

test('in the journal: the bytes as they came, the error cut and escaped, no stack, and the topic in no name', async (t) => {
  const stateDir = join(temporaryFolder(t), 'state')
  const options: ServeOptions = { stateDir, deadLetter: { store: 'journal' } }
  const { server, link, untilAcked } = await serveToHostileSide(t, hostile(), options)
  const topics = [hostileTopic, 't'.repeat(60_000), '..', '/', 'a\u0001b']
  link.send(...topics.map((topic, index) => publishFrame(Buffer.from(topic), index + 1, payload)))
  await untilAcked(topics.length)
  await server.stop()
  const names = namesBelow(stateDir)
  t.true(names.length > 0)
  for (const name of names) t.regex(name, /^[\w./-]+$/)
  t.false(names.some((name) => name.includes('..') || name.includes('proto')))
  t.is(statSync(stateDir).mode & 0o077, 0)
  const folder = join(stateDir, 'dead-letters')
  const journal = new JournalDeadLetters({ folder, maxMessages: 100, maxBytes: 10_000_000 })
  const letters: DeadLetter[] = []
  for await (const letter of journal.letters()) letters.push(letter)
  t.deepEqual(letters.map(({ topic }) => topic).sort(), topics.toSorted())
  for (const letter of letters) isFit(t, letter, letter.topic)
  const files = names.map((name) => join(stateDir, name)).filter((file) => statSync(file).isFile())
  for (const file of files) t.false(readFileSync(file).includes('threats/t20-dead-letters'), 'a stack')
})

test('on a topic: always the one that was configured, with where it came from in properties', async (t) => {
  const stateDir = join(temporaryFolder(t), 'state')
  const options: ServeOptions = { stateDir, deadLetter: { store: 'topic', topic: 'dead/letters' } }
  const { link, untilAcked } = await serveToHostileSide(t, hostile(), options)
  const topics = [hostileTopic, 'dead/other', '..']
  link.send(...topics.map((topic, index) => publishFrame(Buffer.from(topic), index + 1, payload)))
  await untilAcked(topics.length)
  const published = link.all('publish')
  t.deepEqual(new Set(published.map(({ topic }) => topic)), new Set(['dead/letters']))
  t.deepEqual(
    new Set(published.map(({ properties }) => properties?.userProperties?.['mqttasgi-topic'])),
    new Set(topics),
  )
  for (const { payload: bytes, retain } of published) {
    t.false(retain)
    const letter = decodeLetter(Buffer.from(bytes))
    isFit(t, letter, letter.topic)
  }
})

test('user properties with the names of prototypes come back from a letter as they went in', async (t) => {
  const stateDir = join(temporaryFolder(t), 'state')
  const options: ServeOptions = { stateDir, deadLetter: { store: 'journal' } }
  const { server, link, untilAcked } = await serveToHostileSide(t, hostile(), options)
  const userProperties = { constructor: 'x', polluted: 'y' }
  Object.defineProperty(userProperties, '__proto__', { value: 'z', enumerable: true })
  link.deliver('a', payload, { qos: 1, messageId: 1, properties: { userProperties } })
  await untilAcked(1)
  await server.stop()
  const folder = join(stateDir, 'dead-letters')
  const journal = new JournalDeadLetters({ folder, maxMessages: 100, maxBytes: 10_000_000 })
  t.plan(5)
  for await (const { properties } of journal.letters()) {
    const pairs = Object.entries(properties.userProperties ?? {}).map(
      ([name, values]) => `${name} ${values.join()}`,
    )
    t.is(pairs.length, 3)
    for (const pair of ['__proto__ z', 'constructor x', 'polluted y']) t.true(pairs.includes(pair), pair)
  }
  t.false('polluted' in {})
})

test('mqttasgi dlq shows a hostile letter in lines of its own, and as JSON that can be read', async (t) => {
  const cwd = temporaryFolder(t)
  const stateDir = join(cwd, '.mqttasgi')
  const options: ServeOptions = { stateDir, deadLetter: { store: 'journal' } }
  const { server, link, untilAcked } = await serveToHostileSide(t, hostile(), options)
  const properties = { userProperties: { [escape]: escape }, contentType: escape, responseTopic: escape }
  link.deliver(hostileTopic, `text${escape}`, { qos: 1, messageId: 1, properties })
  await untilAcked(1)
  await server.stop()
  const journal = new JournalDeadLetters({
    folder: join(stateDir, 'dead-letters'),
    maxMessages: 10,
    maxBytes: 1_000_000,
  })
  const ids: string[] = []
  for await (const { id } of journal.letters()) ids.push(id)
  const [id = ''] = ids
  for (const words of [
    ['ls'],
    ['show', id],
    ['ls', '--json'],
    ['show', id, '--json'],
    ['show', id, '--payload', 'text'],
  ]) {
    const command = runHere(['dlq', ...words], { cwd })
    t.is(await command.ended, 0, command.output())
    t.notRegex(command.output(), rawButLineEnds)
    t.notRegex(command.output(), /^fake: line/m)
    if (!words.includes('--json')) continue
    const letter = JSON.parse(command.stdout()) as { topic: string; error: { message: string } }
    t.is(letter.topic, hostileTopic)
  }
})
