// Variable Byte Integers (1.5.5): the lengths and identifiers of MQTT, up to four bytes of seven bits.

/** All four bytes say that more follow. */
export const MALFORMED = -1
/** The bytes end before the number does. */
export const INCOMPLETE = 0

/**
 * Reads one at `at`: the value shifted left by three, and in the low three bits how many bytes it took, so that
 * nothing is allocated; MALFORMED or INCOMPLETE otherwise. Encodings longer than need be are read: brokers send them.
 */
export function readInteger(bytes: Buffer, at: number, end: number): number {
  let value = 0
  for (let size = 0; size < 4; size++) {
    if (at + size >= end) return INCOMPLETE
    const byte = bytes[at + size]!
    value |= (byte & 127) << (7 * size)
    if (byte < 128) return (value << 3) | (size + 1)
  }
  return MALFORMED
}
