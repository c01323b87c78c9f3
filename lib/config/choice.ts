// Of everything that was given for an option, the strongest; of what was not given, the default.
import type { Given, Level } from './levels.ts'
import { isInFile, optionAt, type OptionPath, options } from './options.ts'
import type { ValueCode } from './value.ts'

/** Levels of values, the strongest first. */
export class Choice {
  readonly #levels: readonly Level[]

  constructor(levels: readonly Level[]) {
    this.#levels = withoutDisplacedSocket(levels)
  }

  /** The place of the level that decides; 0 is the strongest, `Infinity` is the default. */
  rank(path: OptionPath): number {
    const rank = this.#levels.findIndex((level) => level.has(path))
    return rank === -1 ? Infinity : rank
  }

  given(path: OptionPath): Given | undefined {
    return this.#levels.find((level) => level.has(path))?.get(path)
  }

  text(path: OptionPath): string | undefined {
    const value = this.#value(path)
    return value === undefined ? undefined : String(value)
  }

  number(path: OptionPath): number {
    return Number(this.#value(path))
  }

  isOn(path: OptionPath): boolean {
    return this.#value(path) === true
  }

  /** Where the value of an option came from. */
  source(path: OptionPath): string {
    return this.given(path)?.source ?? 'default'
  }

  /** The code of a value that can not be used. */
  valueCode(path: OptionPath): ValueCode {
    return this.given(path)?.code ?? 'ERR_CONFIG_VALUE'
  }

  /** Where every value came from, by path. */
  sources(): Record<string, string> {
    const shown = options.filter((option) => isInFile(option) && option.path !== 'broker.url')
    return Object.fromEntries(shown.map(({ path }) => [path, this.source(path)]))
  }

  #value(path: OptionPath): Given['value'] | undefined {
    return this.given(path)?.value ?? optionAt(path)?.default
  }
}

// A host or port at a stronger level replaces a unix socket as the address.
function withoutDisplacedSocket(levels: readonly Level[]): readonly Level[] {
  const socket = levels.findIndex((level) => level.has('broker.socketPath'))
  const host = levels.findIndex((level) => level.has('broker.host') || level.has('broker.port'))
  if (socket === -1 || host === -1 || host > socket) return levels
  return levels.map((level) => {
    const kept = [...level].filter(([path, { value }]) => path !== 'broker.socketPath' && value !== 'unix')
    return new Map(kept)
  })
}
