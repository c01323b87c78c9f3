import test from 'ava'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorCodes, MqttasgiError, toError, type ErrorEntry } from '../../lib/core/errors.ts'

test('an error has a code, a kind, a name and keeps its cause', (t) => {
  const cause = new Error('first')
  const error = new MqttasgiError('ERR_TOPIC_INVALID', 'message', { cause, topic: 'a' })
  t.is(error.code, 'ERR_TOPIC_INVALID')
  t.is(error.kind, 'program')
  t.is(error.name, 'MqttasgiError')
  t.is(error.cause, cause)
  t.is(error.topic, 'a')
})

test('an error without a cause has none', (t) => {
  t.false('cause' in new MqttasgiError('ERR_TOPIC_INVALID', 'message'))
})

test('whatever is thrown becomes an error', (t) => {
  const error = new Error('kept')
  t.is(toError(error), error)
  t.is(toError('text').message, 'text')
  t.deepEqual(toError({ a: 1 }).cause, { a: 1 })
})

test('an error whose name or message is no text becomes one that can be told', (t) => {
  for (const odd of [{ message: undefined }, { message: { code: 7 } }, { name: 7 }]) {
    const thrown = Object.assign(new Error('x'), odd)
    const error = toError(thrown)
    t.is(typeof error.message, 'string')
    t.is(error.cause, thrown)
  }
  const failing = Object.defineProperty(new Error('x'), 'message', {
    get: () => {
      throw new Error('no message')
    },
  })
  t.is(toError(failing).cause, failing)
})

const root = join(import.meta.dirname, '../..')
const table: Readonly<Record<string, ErrorEntry>> = errorCodes
const codes = Object.keys(table)

function mentioned(text: string): string[] {
  // ERR_X_* speaks of a family.
  return [...text.matchAll(/\bERR_[A-Z0-9_]+\b(?!\*)/g)].map(([code]) => code)
}

function files(folder: string, ending: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(ending))
    .map((file) => join(root, folder, file))
}

test('a code says in two sentences what it means and what mends it', (t) => {
  for (const [code, { means, mend }] of Object.entries(table)) {
    t.regex(code, /^ERR_[A-Z0-9]+(?:_[A-Z0-9]+)*$/)
    for (const text of [means, mend]) t.regex(text, /^(?:[A-Z]|\w+\(\)).*\.$/, `${code}: ${text}`)
  }
})

test('every code is thrown somewhere', (t) => {
  const sources = [...files('lib', '.ts')].filter((file) => !file.endsWith(join('core', 'errors.ts')))
  const used = new Set(sources.flatMap((file) => mentioned(readFileSync(file, 'utf8'))))
  t.deepEqual(
    codes.filter((code) => !used.has(code)),
    [],
  )
})

test('every code that code, docs or README speak of exists', (t) => {
  const places = [...files('lib', '.ts'), ...files('docs', '.md'), join(root, 'README.md')]
  const unknown = places.flatMap((file) =>
    mentioned(readFileSync(file, 'utf8'))
      .filter((code) => !codes.some((known) => known === code || known.startsWith(`${code}_`)))
      .filter((code) => !nodes.test(code))
      .map((code) => `${file.slice(root.length + 1)}: ${code}`),
  )
  t.deepEqual(unknown, [])
})

// Node's own codes for TLS begin alike; they are compared with, not thrown.
const nodes = /^ERR_(?:OSSL|SSL|TLS|UNKNOWN_FILE|WORKER_OUT_OF)_/

test('docs/errors.md lists every code and no other', (t) => {
  const page = readFileSync(join(root, 'docs/errors.md'), 'utf8')
  const listed = [...page.matchAll(/^\| .*`(ERR_[A-Z0-9_]+)` \|/gm)].map(([, code = '']) => code)
  t.deepEqual(listed.sort(), [...codes].sort())
})
