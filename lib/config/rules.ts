// Options of a program held to a table: what each must be, and what is said of the first that is not.
import { nearest } from './near.ts'
import { show } from './value.ts'

/** What an option must be, in words and as a check. */
export type Rule = readonly [expected: string, check: (value: unknown) => boolean]

/** Options as somebody wrote them. */
export type OptionsGiven = Readonly<Record<string, unknown>>

/** What is wrong with them: the name of the option, and the rest of the sentence. */
export interface OptionFault {
  readonly key: string
  readonly isUnknown: boolean
  readonly what: string
}

/** The first thing that is wrong; `beside`: names that stand there and are looked at elsewhere. */
export function faultBy(
  rules: Readonly<Record<string, Rule>>,
  given: OptionsGiven,
  whose: string,
  beside: readonly string[] = [],
): OptionFault | undefined {
  for (const [key, value] of Object.entries(given)) {
    const rule = Object.hasOwn(rules, key) ? rules[key] : undefined
    if (rule === undefined) return unknown(key, whose, [...beside, ...Object.keys(rules)])
    if (value === undefined) continue
    const [expected, check] = rule
    if (!check(value)) return { key, isUnknown: false, what: `expected ${expected}, got ${show(value)}.` }
  }
  return undefined
}

export function isWhole(min: number, max: number): (value: unknown) => boolean {
  return (value) => typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max
}

function unknown(key: string, whose: string, names: readonly string[]): OptionFault {
  const near = nearest(key, names)
  const hint = near === undefined ? `${whose} has ${names.join(', ')}.` : `Did you mean ${near}?`
  return { key, isUnknown: true, what: `there is no such key. ${hint}` }
}
