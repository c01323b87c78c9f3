// What docs/parity.md says of the original server: the flags and variables are there, and each finding has a test.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { options } from '../../lib/config/options.ts'

const root = join(import.meta.dirname, '../..')
const page = readFileSync(join(root, 'docs/parity.md'), 'utf8')

test('each finding of the page has a test with its number, and each such test its row', (t) => {
  const folder = join(root, 'test/regression')
  const files = readdirSync(folder).filter((name) => name.startsWith('original-findings-'))
  const source = files.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n')
  const tested = new Set([...source.matchAll(/['`](\d+)\. /g)].map(([, number]) => Number(number)))
  const rows = [...page.matchAll(/^\| (\d+) +\|/gm)].map(([, number]) => Number(number))
  t.deepEqual(
    rows,
    Array.from({ length: 25 }, (_, i) => i + 1),
  )
  t.deepEqual(
    [...tested].toSorted((one, other) => one - other),
    rows,
  )
})

test('each flag and variable of the page is one of the table of options', (t) => {
  const rows = [...page.matchAll(/^\| (`-[^|]+)\|/gm)].flatMap(([, cell = '']) => cell.split(' · '))
  t.is(rows.length, 13)
  const ours = new Set(options.map(({ env, flag }) => `\`${flag.short} ${flag.long}\` \`${env}\``))
  for (const row of rows) t.true(ours.has(row.trim()), row)
})
