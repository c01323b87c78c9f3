// What the broker is answered for its messages, in bytes: PUBACK, PUBREC and PUBCOMP (3.4, 3.5, 3.7).

/** One of them. A reason code other than 0 is left out where the version has none. */
export interface Answer {
  readonly type: 'PUBACK' | 'PUBREC' | 'PUBCOMP'
  readonly packetId: number
  readonly reasonCode: number
}

const FIRST_BYTE = { PUBACK: 0x40, PUBREC: 0x50, PUBCOMP: 0x70 } as const
/** Type, length, packet identifier. MQTT 5 leaves a reason code of 0 out (3.4.2.1). */
const BYTES = 4

/** All of them in one piece. */
export function encodeAnswers(answers: readonly Answer[], protocolVersion: 4 | 5): Buffer {
  const bytes = Buffer.allocUnsafe(answers.length * (BYTES + 1))
  let at = 0
  for (const { type, packetId, reasonCode } of answers) {
    const coded = reasonCode !== 0 && protocolVersion === 5
    bytes[at] = FIRST_BYTE[type]
    bytes[at + 1] = coded ? 3 : 2
    bytes.writeUInt16BE(packetId, at + 2)
    if (coded) bytes[at + BYTES] = reasonCode
    at += coded ? BYTES + 1 : BYTES
  }
  return bytes.subarray(0, at)
}

/** PUBACKs without a reason code, as nearly all answers are. */
export function encodePubacks(packetIds: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(packetIds.length * BYTES)
  let at = 0
  for (const packetId of packetIds) {
    bytes[at] = FIRST_BYTE.PUBACK
    bytes[at + 1] = 2
    bytes.writeUInt16BE(packetId, at + 2)
    at += BYTES
  }
  return bytes
}
