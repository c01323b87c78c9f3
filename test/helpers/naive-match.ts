// A second opinion on matching, as plain as can be, and random filters, patterns and topics to compare by.
import * as fc from 'fast-check'

/** The standard's rules read out loud; both sides valid, the filter not shared. */
export function naiveMatch(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && (filter.startsWith('+') || filter.startsWith('#'))) return false
  return matchLevels(filter.split('/'), topic.split('/'))
}

function matchLevels([wanted, ...wantedRest]: string[], [level, ...levels]: string[]): boolean {
  if (wanted === '#') return true
  if (wanted === undefined || level === undefined) return wanted === level
  return (wanted === '+' || wanted === level) && matchLevels(wantedRest, levels)
}

const word = fc.constantFrom('a', 'b', 'c', '', '$x', '$', '__proto__', 'constructor', 'é', 'somewhat-long')

/** A valid topic of up to six levels, most of them words that filters have too. */
export const anyTopic: fc.Arbitrary<string> = fc
  .array(fc.oneof({ arbitrary: word, weight: 9 }, { arbitrary: fc.constant('other'), weight: 1 }), {
    minLength: 1,
    maxLength: 6,
  })
  .map((levels) => levels.join('/'))
  .filter((topic) => topic !== '')

/** A valid filter of up to five levels, not shared. */
export const anyFilter: fc.Arbitrary<string> = levelsOf(fc.constant('+'), fc.constant('#')).filter(
  (filter) => filter !== '',
)

/** A valid pattern, not shared: every wildcard has a name of its own or none. */
export const anyPattern: fc.Arbitrary<string> = levelsOf(
  fc.constantFrom('+', '+?'),
  fc.constantFrom('#', '#?'),
).map((text) => {
  let names = 0
  return text.replaceAll('?', () => `n${names++}`) || 'a'
})

function levelsOf(plus: fc.Arbitrary<string>, hash: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const levels = fc.array(fc.oneof({ arbitrary: word, weight: 2 }, { arbitrary: plus, weight: 1 }), {
    minLength: 1,
    maxLength: 5,
  })
  return fc
    .tuple(levels, fc.option(hash, { freq: 2 }), fc.boolean())
    .map(([first, last, fewer]) => (last === null ? first : first.slice(fewer ? 1 : 0).concat(last)))
    .map((all) => all.join('/'))
}
