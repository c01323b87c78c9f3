// Subscription Identifiers (3.8.2.1.2) that mean the same filter in every process and release.

const LARGEST = 268_435_455

/**
 * A number for a filter, made from its text alone: the messages that wait in a session carry the numbers
 * of the process that subscribed, and the next process must read them rightly. Numbers in `taken` are
 * stepped over. `life` counts how often this process has given the filter up: what still comes from an
 * earlier life must not look like what comes from this one.
 */
export function subscriptionIdentifier(filter: string, taken: ReadonlySet<number>, life = 0): number {
  // NUL is in no filter [MQTT-4.7.3-2].
  let identifier = (hash(life === 0 ? filter : `${filter}\0${life}`) % LARGEST) + 1
  while (taken.has(identifier)) identifier = (identifier % LARGEST) + 1
  return identifier
}

// FNV-1a over UTF-16 code units, 32 bits.
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0
  }
  return value
}
