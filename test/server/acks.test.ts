import test from 'ava'
import * as fc from 'fast-check'
import { AckQueue, type Owed } from '../../lib/server/acks.ts'

interface Message extends Owed {
  packetId: number
  settled: boolean
}

function messages(count: number): Message[] {
  return Array.from({ length: count }, (_, i) => ({ packetId: i + 1, settled: false }))
}

function released(acks: AckQueue<Message>): number[] {
  const ids: number[] = []
  acks.release(({ packetId }) => ids.push(packetId))
  return ids
}

test('nothing is released before the oldest is settled, and then all that is settled behind it', (t) => {
  const acks = new AckQueue<Message>()
  const [one, two, three] = messages(3) as [Message, Message, Message]
  for (const message of [one, two, three]) acks.arrived(message)
  t.is(acks.size, 3)
  two.settled = true
  t.deepEqual(released(acks), [])
  one.settled = true
  t.deepEqual(released(acks), [1, 2])
  t.deepEqual(released(acks), [])
  three.settled = true
  t.deepEqual(released(acks), [3])
  t.is(acks.size, 0)
})

test('a message is found by its packet id until it is released', (t) => {
  const acks = new AckQueue<Message>()
  t.is(acks.find(1), undefined)
  const first: Message = { packetId: 1, settled: false }
  const last: Message = { packetId: 65_535, settled: false }
  acks.arrived(first)
  acks.arrived(last)
  t.is(acks.find(1), first)
  t.is(acks.find(65_535), last)
  t.is(acks.find(2), undefined)
  first.settled = true
  released(acks)
  t.is(acks.find(1), undefined)
  t.is(acks.find(65_535), last)
})

test('when the connection is gone all is forgotten, and the ids are free', (t) => {
  const acks = new AckQueue<Message>()
  const list = messages(3)
  for (const message of list) acks.arrived(message)
  t.deepEqual(acks.abandon(), list)
  t.is(acks.size, 0)
  for (const { packetId } of list) t.is(acks.find(packetId), undefined)
  for (const message of list) message.settled = true
  t.deepEqual(released(acks), [])
})

test('over any order of completion the acknowledgements leave in the order of arrival, each once', (t) => {
  const count = 1_000
  fc.assert(
    fc.property(
      fc.shuffledSubarray(
        Array.from({ length: count }, (_, i) => i),
        { minLength: count },
      ),
      (order) => {
        const acks = new AckQueue<Message>()
        const list = messages(count)
        for (const message of list) acks.arrived(message)
        let done = 0
        const settled = new Set<number>()
        for (const index of order) {
          const message = list[index]
          if (message === undefined) continue
          message.settled = true
          settled.add(index + 1)
          acks.release(({ packetId }) => {
            if (packetId !== ++done) t.fail(`${packetId} was acknowledged as number ${done}`)
            if (!settled.has(packetId)) t.fail(`${packetId} was acknowledged before it was settled`)
          })
        }
        t.is(done, count)
      },
    ),
    { numRuns: 200 },
  )
})
