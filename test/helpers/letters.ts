// Dead letters for tests: plain ones, and any there can be.
import fc from 'fast-check'
import type { DeadLetter } from '../../lib/core/dead-letter.ts'
import type { MessageProperties } from '../../lib/core/message.ts'

let made = 0

/** A letter with an id of its own; ids are in the order in which they were made. */
export function letter(more: Partial<DeadLetter> = {}): DeadLetter {
  made++
  return {
    id: `${String(made).padStart(9, '0')}-aabbccddeeff`,
    topic: 'sensors/hall/temp',
    payload: Buffer.from('{"celsius":'),
    qos: 1,
    retain: false,
    dup: false,
    properties: properties({}),
    cause: 'failed',
    error: { name: 'MqttasgiError', message: 'The payload is no JSON.', code: 'ERR_PAYLOAD_JSON' },
    receiver: 'application',
    route: 'sensors/+room/temp',
    share: undefined,
    attempts: 3,
    arrivedAt: 1_764_000_000_000,
    deadAt: 1_764_000_001_500,
    clientId: 'greenhouse',
    ...more,
  }
}

/** Without prototypes, as they come off the wire. */
export function properties(given: MessageProperties): MessageProperties {
  const { userProperties } = given
  const bare: MessageProperties = Object.assign(Object.create(null), given)
  if (userProperties === undefined) return bare
  return Object.assign(bare, { userProperties: Object.assign(Object.create(null), userProperties) })
}

/** One with every property there is. */
export function fullLetter(): DeadLetter {
  return letter({
    payload: Buffer.from([0, 10, 13, 255, 254, 34, 0]),
    topic: 'a/„b“/\u2028c',
    qos: 2,
    retain: true,
    dup: true,
    route: undefined,
    share: null,
    cause: 'crashed',
    error: { name: 'Error', message: 'x', code: undefined },
    properties: properties({
      payloadFormatIndicator: true,
      messageExpiryInterval: 4_294_967_295,
      contentType: 'text/plain',
      responseTopic: 'answers/1',
      correlationData: Buffer.from([0, 255, 10]),
      userProperties: { __proto: ['1'], ['__proto__']: ['a', 'b', 'a'], '': [''] },
      subscriptionIdentifiers: [1, 268_435_455],
    }),
  })
}

const aText = fc.string({ unit: 'grapheme', maxLength: 20 })
const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
const userProperties = fc
  .array(fc.tuple(fc.oneof(aText, fc.constant('__proto__')), fc.array(aText, { minLength: 1, maxLength: 3 })))
  .map((entries) => Object.fromEntries(entries))

const someProperties = fc
  .record(
    {
      payloadFormatIndicator: fc.boolean(),
      messageExpiryInterval: fc.nat(),
      contentType: aText,
      responseTopic: aText,
      correlationData: bytes,
      userProperties,
      subscriptionIdentifiers: fc.array(fc.integer({ min: 1, max: 268_435_455 }), { minLength: 1 }),
    },
    { requiredKeys: [] },
  )
  .map(properties)

/** Any letter, with error texts that need nothing taken out. */
export const anyLetter: fc.Arbitrary<DeadLetter> = fc
  .record({
    topic: aText,
    payload: bytes,
    qos: fc.constantFrom(0, 1, 2),
    retain: fc.boolean(),
    dup: fc.boolean(),
    properties: someProperties,
    cause: fc.constantFrom('failed', 'rejected', 'held', 'crashed', 'oversized'),
    receiver: aText,
    route: fc.option(aText, { nil: undefined }),
    share: fc.option(fc.constantFrom('g', null), { nil: undefined }),
    attempts: fc.nat(),
    clientId: aText,
  })
  .map((fields) => letter(fields))
