// PUBACK, PUBREC and PUBCOMP in bytes, with mqtt-packet as the second opinion.
import test from 'ava'
import * as fc from 'fast-check'
import { generate } from 'mqtt-packet'
import { encodeAnswers, encodePubacks, type Answer } from '../../lib/transport/answer.ts'

const packetIds = fc.integer({ min: 1, max: 65_535 })
const answers: fc.Arbitrary<Answer> = fc.oneof(
  fc.record({
    type: fc.constantFrom('PUBACK' as const, 'PUBREC' as const),
    packetId: packetIds,
    reasonCode: fc.constantFrom(0, 0x10, 0x83, 0x99),
  }),
  fc.record({
    type: fc.constant('PUBCOMP' as const),
    packetId: packetIds,
    reasonCode: fc.constantFrom(0, 0x92),
  }),
)

const commands = { PUBACK: 'puback', PUBREC: 'pubrec', PUBCOMP: 'pubcomp' } as const

/** With its reason code only where that says more than none [MQTT-3.4.2.1]. */
function expected({ type, packetId, reasonCode }: Answer, protocolVersion: 4 | 5): Buffer {
  const packet = { cmd: commands[type], messageId: packetId }
  if (protocolVersion === 4 || reasonCode === 0) return generate(packet, { protocolVersion: 4 })
  const long = generate({ ...packet, reasonCode }, { protocolVersion })
  // mqtt-packet writes the length of no properties as well.
  return Buffer.from([long[0] ?? 0, 3, ...long.subarray(2, 5)])
}

test('answers are written as the standard has them', (t) => {
  const property = fc.property(
    fc.array(answers),
    fc.constantFrom(4 as const, 5 as const),
    (list, version) => {
      const wanted = Buffer.concat(list.map((answer) => expected(answer, version)))
      return encodeAnswers(list, version).equals(wanted)
    },
  )
  t.notThrows(() => fc.assert(property, { seed: 20_261_125 }))
})

test('PUBACKs without a reason code are the same bytes', (t) => {
  const property = fc.property(fc.array(packetIds), (ids) => {
    const list = ids.map((packetId) => ({ type: 'PUBACK', packetId, reasonCode: 0 }) as const)
    return encodePubacks(ids).equals(encodeAnswers(list, 5))
  })
  t.notThrows(() => fc.assert(property, { seed: 20_261_125 }))
})
