// Puts the words of the command line into a form that a usual parser takes, before it sees them.
import { type OptionEntry, options } from '../config/options.ts'

/** The words, with the command in front taken out. */
export interface Arranged {
  /** Undefined when no command was named. */
  readonly command: string | undefined
  readonly words: readonly string[]
}

/**
 * Finds the command wherever it stands among the options, writes `-SSL` as `--use-ssl`, and gives the
 * flags whose value may be left out theirs: `-c` and `-SSL` take the next word only if it is `true` or
 * `false`, `-v` only if it is a number.
 *
 * @example
 * arrange(['-SSL', '-c', 'false', 'dev', './app.ts'], ['run', 'dev'])
 * // { command: 'dev', words: ['--use-ssl=true', '--cleansession=false', './app.ts'] }
 */
export function arrange(argv: readonly string[], commands: readonly string[]): Arranged {
  const words: string[] = []
  let command: string | undefined
  let isOperandSeen = false
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? ''
    const next = argv[index + 1]
    if (word === '--') return { command, words: [...words, ...argv.slice(index)] }
    const option = optionNamed(word)
    if (option?.flag.alone !== undefined) {
      const isValue = next !== undefined && takes(option, next)
      words.push(`${option.flag.long}=${isValue ? next : option.flag.alone}`)
      if (isValue) index++
    } else if (option !== undefined) {
      words.push(word)
      // Whatever it looks like: it may be a password.
      if (next !== undefined) words.push(next)
      index++
    } else if (word.startsWith('-')) {
      words.push(spelledOut(word))
    } else if (command === undefined && !isOperandSeen && commands.includes(word)) {
      command = word
    } else {
      isOperandSeen = true
      words.push(word)
    }
  }
  return { command, words }
}

function optionNamed(word: string): OptionEntry | undefined {
  return options.find(({ flag }) => flag.long === word || flag.short === word)
}

function takes({ type }: OptionEntry, word: string): boolean {
  return type.kind === 'switch' ? /^(true|false)$/i.test(word) : /^\d+$/.test(word)
}

// `-vv` counts, `-v2` and `-SSL=false` carry their value.
function spelledOut(word: string): string {
  if (/^-v+$/.test(word)) return `--verbosity=${word.length - 1}`
  const attached = /^-(v|SSL|c)=?(\d+|true|false)$/i.exec(word)
  const option = attached === null ? undefined : optionNamed(`-${attached[1]}`)
  return option?.flag.alone === undefined ? word : `${option.flag.long}=${attached?.[2]}`
}
