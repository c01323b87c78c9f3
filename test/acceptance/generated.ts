// The parts of README and docs that are made from the code. Run it to write them: node --import tsx test/acceptance/generated.ts
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { argv } from 'node:process'
import { pathToFileURL } from 'node:url'
import { renderOptionsTable } from '../../lib/config/options.ts'
import { renderRefusals } from '../../lib/transport/refusals.ts'
import { errorCodes, type ErrorEntry } from '../../lib/core/errors.ts'

/** A part of a file, between two marker lines, and what stands there. */
export interface GeneratedPart {
  readonly file: string
  readonly name: string
  readonly render: () => string
}

export const generatedParts: readonly GeneratedPart[] = [
  { file: 'README.md', name: 'options', render: renderOptionsTable },
  { file: 'docs/transport.md', name: 'refusals', render: renderRefusals },
  { file: 'docs/errors.md', name: 'codes', render: renderErrorCodes },
]

const root = join(import.meta.dirname, '../..')

/** What stands between the markers now; undefined where there are none. */
export function generatedText({ file, name }: GeneratedPart): string | undefined {
  const text = readFileSync(join(root, file), 'utf8')
  const [begin, end] = markers(name)
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  return from === -1 || to < from ? undefined : text.slice(from + begin.length, to).trim()
}

function markers(name: string): readonly [string, string] {
  return [`<!-- ${name}: made by test/acceptance/generated.ts -->`, `<!-- /${name} -->`]
}

/** The table of codes, sorted by name, with a place to link to for each. */
function renderErrorCodes(): string {
  const entries: readonly (readonly [string, ErrorEntry])[] = Object.entries(errorCodes)
  const rows = entries
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
    .map(([code, { kind, means, mend }]) => [
      `<a id="${code.toLowerCase()}"></a>\`${code}\``,
      kind,
      means,
      mend,
    ])
  const head = ['code', 'kind', 'what it means', 'what usually mends it']
  return [head, head.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n')
}

function write(part: GeneratedPart): void {
  const path = join(root, part.file)
  const text = readFileSync(path, 'utf8')
  const [begin, end] = markers(part.name)
  const before = text.slice(0, text.indexOf(begin) + begin.length)
  const after = text.slice(text.indexOf(end))
  if (generatedText(part) === undefined) throw new Error(`${part.file} has no markers for "${part.name}".`)
  writeFileSync(path, `${before}\n${part.render()}\n${after}`)
}

if (import.meta.url === pathToFileURL(argv[1] ?? '').href) for (const part of generatedParts) write(part)
