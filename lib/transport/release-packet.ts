// A PUBREL: the broker has got our PUBREC, and lets go of a QoS 2 message (3.6).
import { readInteger } from './variable-byte-integer.ts'

const PUBREL = 0x62
/** Packet identifier and reason code, where they are there. */
const ID_BYTES = 2
const CODE_BYTES = 3

/** The packet identifier of a whole frame, or what is malformed about it. */
export function readRelease(frame: Buffer, protocolVersion: 4 | 5): number | string {
  if (frame[0] !== PUBREL) return 'its flags are not 0010 [MQTT-3.6.1-1]'
  const head = 1 + (readInteger(frame, 1, frame.length) & 7)
  const length = frame.length - head
  if (length < ID_BYTES) return 'it ends before its packet identifier does'
  if (length > ID_BYTES && protocolVersion === 4) return 'it has more than a packet identifier (3.6.2)'
  const packetId = frame.readUInt16BE(head)
  if (packetId === 0) return 'its packet identifier is 0 [MQTT-2.2.1-4]'
  if (length <= CODE_BYTES) return packetId
  const properties = readInteger(frame, head + CODE_BYTES, frame.length)
  const end = head + CODE_BYTES + (properties & 7) + (properties >> 3)
  // What they say is for people: a reason, and user properties (3.6.2.2).
  return properties <= 0 || end !== frame.length ? 'its properties do not end with it' : packetId
}
