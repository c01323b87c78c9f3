import test from 'ava'
import type { Interest } from '../../lib/core/receiver.ts'
import { Recipients, type Wish } from '../../lib/server/recipients.ts'

function wish(recipient: string, ...interests: (readonly [filter: string, share?: string])[]): Wish<string> {
  const plain = { qos: 1, noLocal: false, retainHandling: 0, retainAsPublished: false, source: '' } as const
  const interest = (filter: string, share: string | undefined): Interest => ({ ...plain, filter, share })
  return { recipient, interests: interests.map(([filter, share]) => interest(filter, share)) }
}

function among(...wishes: Wish<string>[]): Recipients<string> {
  const recipients = new Recipients<string>()
  recipients.update(wishes)
  return recipients
}

test('a single receiver gets everything', (t) => {
  const recipients = among(wish('one', ['a/+']))
  t.deepEqual(recipients.of('a/b', undefined), ['one'])
  t.deepEqual(recipients.of('other', 'g'), ['one'])
})

test('each receiver that wants a message gets it once, in the order of attachment', (t) => {
  const recipients = among(wish('one', ['a/#'], ['a/+']), wish('two', ['b']), wish('three', ['+/b']))
  t.deepEqual(recipients.of('a/b', undefined), ['one', 'three'])
  t.deepEqual(recipients.of('b', undefined), ['two'])
  t.is(recipients.of('a/b', undefined), recipients.of('a/b', undefined))
})

test('what nobody wants goes to the first', (t) => {
  const recipients = among(wish('one', ['a']), wish('two', ['b']))
  t.deepEqual(recipients.of('c', undefined), ['one'])
  t.deepEqual(recipients.of('$SYS/x', undefined), ['one'])
  t.deepEqual(among().of('a', undefined), [])
})

test('what came for a group goes to the group, what came for ourselves to the others, and what may be either to all', (t) => {
  const recipients = among(wish('one', ['a', 'g']), wish('two', ['a']), wish('three', ['a', 'h']))
  t.deepEqual(recipients.of('a', 'g'), ['one'])
  t.deepEqual(recipients.of('a', 'h'), ['three'])
  t.deepEqual(recipients.of('a', undefined), ['two'])
  t.deepEqual(recipients.of('a', null), ['one', 'two', 'three'])
  t.deepEqual(recipients.of('a', 'unknown'), ['one'])
})

test('changed wishes count from then on', (t) => {
  const recipients = among(wish('one', ['a']), wish('two', ['b']))
  t.deepEqual(recipients.of('b', undefined), ['two'])
  recipients.update([wish('one', ['a'], ['b']), wish('two', ['c'])])
  t.deepEqual(recipients.of('b', undefined), ['one'])
})
