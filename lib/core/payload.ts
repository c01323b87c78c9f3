// From what users publish to bytes.
import { MqttasgiError } from './errors.ts'
import type { Payload } from './message.ts'

/**
 * The bytes of a payload: text as UTF-8, bytes as they are, numbers and booleans as their text, null and
 * undefined as nothing, everything else as JSON. Throws `ERR_PAYLOAD_TYPE` for what has no such form.
 */
export function encodePayload(payload: Payload, topic: string): Buffer {
  if (typeof payload === 'string') return Buffer.from(payload)
  if (Buffer.isBuffer(payload)) return payload
  if (payload instanceof Uint8Array)
    return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  if (payload === null || payload === undefined) return Buffer.alloc(0)
  if (typeof payload === 'number' || typeof payload === 'boolean') return Buffer.from(String(payload))
  return Buffer.from(encodeJson(payload, topic))
}

function encodeJson(payload: object, topic: string): string {
  let cause: unknown
  try {
    const text: string | undefined = JSON.stringify(payload)
    if (text !== undefined) return text
  } catch (error) {
    cause = error
  }
  throw new MqttasgiError(
    'ERR_PAYLOAD_TYPE',
    `The payload for "${topic}" can not be written as JSON: it is a ${typeof payload}${cause instanceof Error ? ` (${cause.message})` : ''}. Publish a string, bytes, a number, a boolean, null or a plain object.`,
    { cause, topic },
  )
}
