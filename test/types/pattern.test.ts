// What the compiler reads off a pattern's literal.
/* oxlint-disable unicorn/no-array-fill-with-reference-type */
import test from 'ava'
import { expectTypeOf } from 'expect-type'
import { pattern, type FillParams, type Pattern, type TopicParams } from '../../lib/core/pattern.ts'

type Names<Text extends string> = keyof TopicParams<Text>
type AnyParams = Record<string, string | string[] | undefined>

test('names and kinds come from the literal', (t) => {
  expectTypeOf<TopicParams<'sensors/+room/temp/#rest'>>().toEqualTypeOf<{ room: string; rest: string[] }>()
  expectTypeOf<TopicParams<'+a/+b'>>().toEqualTypeOf<{ a: string; b: string }>()
  expectTypeOf<TopicParams<'#all'>>().toEqualTypeOf<{ all: string[] }>()
  expectTypeOf<TopicParams<'/+a//'>>().toEqualTypeOf<{ a: string }>()
  expectTypeOf<TopicParams<'+device-id'>>().toEqualTypeOf<{ 'device-id': string }>()
  t.pass()
})

test('unnamed wildcards and plain levels give no key', (t) => {
  expectTypeOf<Names<'a/+/b/#'>>().toEqualTypeOf<never>()
  expectTypeOf<Names<''>>().toEqualTypeOf<never>()
  expectTypeOf<TopicParams<'a/+/+id/#'>>().toEqualTypeOf<{ id: string }>()
  t.pass()
})

test('a share prefix gives no key', (t) => {
  expectTypeOf<TopicParams<'$share/group/+id/#rest'>>().toEqualTypeOf<{ id: string; rest: string[] }>()
  expectTypeOf<Names<'$share/+group/a'>>().toEqualTypeOf<never>()
  t.pass()
})

test('a union of patterns gives a union of parameters', (t) => {
  expectTypeOf<TopicParams<'a/+x' | 'b/#y'>>().toEqualTypeOf<{ x: string } | { y: string[] }>()
  t.pass()
})

test('a text that is not known may hold any name', (t) => {
  expectTypeOf<TopicParams<string>>().toEqualTypeOf<AnyParams>()
  expectTypeOf<TopicParams<`a/${string}`>>().toEqualTypeOf<AnyParams>()
  expectTypeOf<TopicParams<`a/+${string}`>>().toEqualTypeOf<AnyParams>()
  expectTypeOf<TopicParams<`${string}/+room`>['room']>().toEqualTypeOf<string>()
  expectTypeOf<TopicParams<`${string}/+room`>['other']>().toEqualTypeOf<string | string[] | undefined>()
  t.pass()
})

type Nine<Text extends string> = `${Text}${Text}${Text}${Text}${Text}${Text}${Text}${Text}${Text}`
type Ten<Text extends string> = `${Nine<Text>}${Text}`
type Levels998 = `${Ten<Ten<Nine<'a/'>>>}${Ten<Nine<'a/'>>}a/a/a/a/a/a/a/a/`

test('the compiler goes through 999 levels', (t) => {
  expectTypeOf<TopicParams<`${Levels998}+last`>>().toEqualTypeOf<{ last: string }>()
  t.pass()
})

test('pattern() keeps the literal, and match and fill are typed by it', (t) => {
  const own = pattern('a/+id/#rest')
  expectTypeOf(own).toEqualTypeOf<Pattern<'a/+id/#rest'>>()
  expectTypeOf(own.text).toEqualTypeOf<'a/+id/#rest'>()
  expectTypeOf(own.match('a/b')).toEqualTypeOf<{ id: string; rest: string[] } | null>()
  expectTypeOf(own.params('a/b')).toEqualTypeOf<{ id: string; rest: string[] }>()
  t.throws(() => {
    // @ts-expect-error: a name is missing
    own.fill({ rest: [] })
  })
  t.throws(() => {
    // @ts-expect-error: the rest is a list of levels
    own.fill({ id: 'b', rest: 'c' })
  })
})

test('fill takes numbers, read-only lists, and what match gave', (t) => {
  expectTypeOf<FillParams<'a/+id/#rest'>>().toEqualTypeOf<{
    readonly id: string | number
    readonly rest: string[] | readonly (string | number)[]
  }>()
  const own = pattern('a/+id/#rest')
  t.is(own.fill({ id: 1, rest: ['b', 2] as const }), 'a/1/b/2')
  const text: string = 'a/+id'
  t.is(pattern(text).fill({ id: 1 }), 'a/1')
  t.is(pattern(text).fill({ id: pattern(text).params('a/b')['id'] }), 'a/b')
})

test('a pattern of any literal is a pattern', (t) => {
  const all: Pattern[] = [pattern('a/+x'), pattern('b/#rest'), pattern('c')]
  t.deepEqual(
    all.map(({ filter }) => filter),
    ['a/+', 'b/#', 'c'],
  )
})
