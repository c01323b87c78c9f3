// Options that are lists of topic filters.
import { MqttasgiError } from '../core/errors.ts'
import { isFilter } from '../core/topic.ts'
import type { Choice } from './choice.ts'
import type { OptionPath } from './options.ts'
import { show } from './value.ts'

/** Undefined when none were given. Code: `ERR_CONFIG_VALUE`, or `ERR_USAGE` for a flag. */
export function filtersOf(choice: Choice, path: OptionPath, example: string): readonly string[] | undefined {
  const given = choice.given(path)
  if (given === undefined || !Array.isArray(given.value)) return undefined
  for (const filter of given.value.map(String)) {
    if (isFilter(filter) && !filter.startsWith('$share/')) continue
    const message = `${path} (${given.source}): expected topic filters such as "${example}", got ${show(filter)}.`
    throw new MqttasgiError(choice.valueCode(path), message)
  }
  return given.value.map(String)
}
