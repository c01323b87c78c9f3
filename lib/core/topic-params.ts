// What a pattern's literal says about its parameters, worked out by the compiler.

/** Parameters of a pattern that is not known as a literal: any name may be there. */
type AnyParams = Record<string, string | string[] | undefined>

/** What one level adds: `+name` a string, `#name` the rest, anything else nothing. */
type LevelParams<Level extends string> = Level extends `+${infer Name}`
  ? Named<Name, string>
  : Level extends `#${infer Name}`
    ? Named<Name, string[]>
    : unknown

type Named<Name extends string, Value> = Name extends ''
  ? unknown
  : string extends Name
    ? unknown
    : { [K in Name]: Value }

/** Tail-recursive, so that the compiler goes through 999 levels. */
type Collect<Text extends string, Found> = Text extends `${infer Level}/${infer Rest}`
  ? Collect<Rest, Found & LevelParams<Level>>
  : Found & LevelParams<Text>

type WithoutShare<Text extends string> = Text extends `$share/${string}/${infer Filter}` ? Filter : Text

/** Where a part of the text is not known, it may hold any name besides the known ones. */
type Unknown<Text extends string> = {} extends Record<Text, 1> ? AnyParams : unknown

/**
 * The parameters of a pattern: `sensors/+room/#rest` has `{ room: string; rest: string[] }`.
 *
 * Unnamed wildcards give no key, a union gives a union, a text that is not a literal an index signature.
 *
 * @example
 * type P = TopicParams<'sensors/+room/temp'> // { room: string }
 */
export type TopicParams<Text extends string> = Text extends unknown
  ? Flat<Collect<WithoutShare<Text>, Unknown<Text>>>
  : never

type Flat<T> = { [K in keyof T]: T[K] }

/** One value that can be put into a topic. */
export type FillValue = string | number

/** What `fill` takes: the parameters, where numbers and read-only lists will do as well. */
export type FillParams<Text extends string> = Text extends unknown ? FillOf<TopicParams<Text>> : never

type FillOf<P> = { readonly [K in keyof P]: P[K] | FillValueOf<P[K]> }

type FillValueOf<Value> = Value extends string
  ? FillValue
  : Value extends string[]
    ? readonly FillValue[]
    : Value
