// Subscription Identifiers (3.8.2.1.2) that mean the same filter in every process and release, and say which SUBSCRIBE brought something.

// A filter has a stem, and each time it is asked for while it is held another one of the eight identifiers of it.
const STEMS = 2 ** 25
const ALL = 8 * STEMS

/**
 * A number for a filter, made from its text alone: the messages that wait in a session carry the numbers
 * of the process that subscribed, and the next process must read them rightly. Stems in `taken` are
 * stepped over. `life` counts how often this process has given the filter up: what still comes from an
 * earlier life must not look like what comes from this one.
 */
export function subscriptionIdentifier(filter: string, taken: ReadonlySet<number>, life = 0): number {
  // NUL is in no filter [MQTT-4.7.3-2].
  let stem = (hash(life === 0 ? filter : `${filter}\0${life}`) % (STEMS - 1)) + 1
  while (taken.has(stem)) stem = (stem % (STEMS - 1)) + 1
  return stem
}

/** What the identifiers of one filter have in common. */
export function stemOf(identifier: number): number {
  return identifier % STEMS
}

/** For the same filter, asked for once more. */
export function nextIdentifier(identifier: number): number {
  return (identifier + STEMS) % ALL
}

// FNV-1a over UTF-16 code units, 32 bits.
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0
  }
  return value
}
