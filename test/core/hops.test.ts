import test from 'ava'
import { HOPS, hopsOf, loopError, oneHopOn } from '../../lib/core/hops.ts'

const carrying = (value: string | readonly string[]) => ({ userProperties: { [HOPS]: value } })

test('a message carries a number of hops, or none', (t) => {
  t.is(hopsOf(), 0)
  t.is(hopsOf({}), 0)
  t.is(hopsOf({ userProperties: { other: '9' } }), 0)
  t.is(hopsOf({ userProperties: Object.create({ [HOPS]: '9' }) }), 0)
  t.is(hopsOf(carrying('3')), 3)
  t.is(hopsOf(carrying(['3', '5', '4'])), 5)
  t.is(hopsOf(carrying([])), 0)
})

test('what is no number is no hop', (t) => {
  for (const text of ['', '-1', '1e3', 'NaN', '٣', ' 1', '0x5']) t.is(hopsOf(carrying(text)), 0, text)
  t.true(hopsOf(carrying('9'.repeat(400))) > 8)
})

test('a publication carries one hop more, beside all else it was given', (t) => {
  t.deepEqual(oneHopOn(0), { properties: { userProperties: { [HOPS]: '1' } } })
  const given = {
    qos: 0,
    properties: { contentType: 'x', userProperties: { a: ['b'], [HOPS]: '0' } },
  } as const
  t.deepEqual(oneHopOn(4, given), {
    qos: 0,
    properties: { contentType: 'x', userProperties: { a: ['b'], [HOPS]: '5' } },
  })
})

test('what are no options stay what they are, to be refused', (t) => {
  for (const wrong of [null, 5] as never[]) {
    t.is(oneHopOn(0, wrong), wrong)
    const options = { properties: wrong }
    t.is(oneHopOn(0, options), options)
  }
})

test('a publication that has come further than the limit is refused with how far', (t) => {
  t.is(loopError('a', {}, 8), undefined)
  t.is(loopError('a', { properties: {} }, 8), undefined)
  t.is(loopError('a', { properties: carrying('8') }, 8), undefined)
  t.is(loopError('a', { properties: carrying('100') }, 0), undefined)
  const error = loopError('a', { properties: carrying('9') }, 8)
  t.is(error?.code, 'ERR_PUBLISH_LOOP')
  t.regex(error?.message ?? '', /"a" was not published: 8 publications led to this one/)
})
