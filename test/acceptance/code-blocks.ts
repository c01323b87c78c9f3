// The code of README and docs as programs: what stands behind ``` says how a block is to be taken.
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'

export const root = join(import.meta.dirname, '../..')

/**
 * One block. Behind the language may stand `fragment` (a part of a program, that has `app` and the public
 * names), `types` (not to be run), and `file=NAME` (the blocks below it in the same page can import it).
 */
export interface CodeBlock {
  /** For people: `docs/routing.md:12`. */
  readonly place: string
  readonly page: string
  readonly language: string
  readonly isFragment: boolean
  readonly isRun: boolean
  readonly fileName: string
  readonly code: string
}

/** All blocks of a page, in order. */
export function codeBlocks(page: string): CodeBlock[] {
  const text = readFileSync(join(root, page), 'utf8')
  return [...text.matchAll(/^```(\w*)([^\n]*)\n(.*?)^```$/gms)].map((match) => {
    const [, language = '', info = '', code = ''] = match
    const words = info.trim().split(' ')
    const line = text.slice(0, match.index).split('\n').length
    return {
      place: `${page}:${line}`,
      page,
      language,
      isFragment: words.includes('fragment'),
      isRun: !words.includes('types'),
      fileName: words.find((word) => word.startsWith('file='))?.slice('file='.length) ?? 'block.ts',
      code,
    }
  })
}

const names = ['mqttasgi', 'Router', 'serve', 'pattern', 'MqttasgiError']

/** A block as a module. A fragment gets what it takes for granted, unless it makes it itself. */
export function moduleOf({ isFragment, code }: CodeBlock): string {
  if (!isFragment) return code
  const imports = [...code.matchAll(/^import .*$/gm)].map(([line]) => line)
  const rest = code.replaceAll(/^import .*$/gm, '')
  return [
    `import { ${names.join(', ')} } from 'mqttasgi'`,
    `import { dispatch } from 'mqttasgi/testing'`,
    ...imports,
    'const app = mqttasgi()',
    rest,
    `void [${names.join(', ')}, dispatch, app]`,
  ].join('\n')
}

/** Lines such as `isTopic('a') // → true` become assertions. */
export function withAssertions(code: string): string {
  const asserted = code.replaceAll(/^(\S.*?) \/\/ → (.+)$/gm, 'same($1, $2)')
  return asserted === code ? code : `import { deepEqual as same } from 'node:assert'\n${asserted}`
}

/** The files a block can import: those that blocks above it are, each with the latest text. */
export function filesBefore(blocks: readonly CodeBlock[], block: CodeBlock): ReadonlyMap<string, string> {
  const before = blocks.slice(0, blocks.indexOf(block)).filter(({ language }) => language === 'ts')
  return new Map(
    before
      .filter(({ fileName }) => fileName !== 'block.ts' && fileName !== block.fileName)
      .map((file) => [file.fileName, file.code]),
  )
}

/** A folder name for a block: `routing.md-12`. */
export function folderName({ place }: CodeBlock): string {
  return basename(place).replace(':', '-')
}
