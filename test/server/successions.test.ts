import test from 'ava'
import { Letter } from '../../lib/server/letter.ts'
import { Successions } from '../../lib/server/successions.ts'

function letter(name: string, standing: Letter['standing'] = 'asked', until?: 'stored'): Letter {
  const options = until === undefined ? {} : { until }
  const made = new Letter(
    { topic: 'a', payload: Buffer.from(name), options, publishedAt: 0 },
    { maxMessages: 10, maxBytes: 1_000 },
  )
  made.standing = standing
  return made
}

const names = (letters: readonly Letter[]): string =>
  letters.map(({ payload }) => payload.toString()).join(' ')

test('whoever has taken nobody’s place stands alone, and leaves without a word', (t) => {
  const successions = new Successions()
  const one = letter('1', 'refused')
  t.deepEqual(successions.lineOf(one), [one])
  t.is(successions.heirOf(one), one)
  t.deepEqual(successions.takeBefore(one), [])
  t.deepEqual(successions.takeRefused(one), [])
  t.deepEqual(successions.takeRefused(letter('2')), [])
  const waits = letter('3', 'refused', 'stored')
  t.deepEqual(successions.takeRefused(waits), [waits])
  successions.end(one)
})

test('each takes the place of those before it, until one is on disk', (t) => {
  const successions = new Successions()
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => letter(name)) as [Letter, Letter, Letter, Letter]
  successions.join(a, b)
  successions.join(b, c)
  t.is(successions.heirOf(a), c)
  t.is(names(successions.takeBefore(b)), 'a')
  t.is(names(successions.lineOf(c)), 'b c')
  t.is(names(successions.lineOf(a)), 'a')
  successions.join(c, d)
  t.is(names(successions.takeBefore(d)), 'b c')
  successions.end(d)
  t.is(names(successions.lineOf(d)), 'd')
})

test('lines that meet are one, in the order of publication', (t) => {
  const successions = new Successions()
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => letter(name)) as [Letter, Letter, Letter, Letter]
  successions.join(c, d)
  successions.join(a, d)
  successions.join(b, d)
  t.is(names(successions.lineOf(b)), 'a b c d')
})

test('of those that the disk has refused the newest stays that does not need it', (t) => {
  const successions = new Successions()
  const kept = letter('0', 'kept')
  const line = [
    kept,
    letter('1', 'refused'),
    letter('2', 'refused', 'stored'),
    letter('3', 'refused'),
    letter('4', 'refused', 'stored'),
  ]
  line.reduce((old, next) => {
    successions.join(old, next)
    return next
  })
  t.is(names(successions.refusedAt(kept)), '4 3 2 1')
  t.is(names(successions.takeRefused(kept)), '4 2 1')
  t.is(names(successions.lineOf(kept)), '0 3')
  const last = letter('5')
  successions.join(successions.heirOf(kept), last)
  t.is(names(successions.refusedAt(kept)), '')
})
