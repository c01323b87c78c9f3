// No type of the public face is any, or hides one: any would switch the compiler off in the user's code.
import test from 'ava'
import { expectTypeOf } from 'expect-type'
import type * as broker from '../../lib/broker/index.ts'
import type * as config from '../../lib/config/index.ts'
import type * as face from '../../lib/index.ts'
import type * as testing from '../../lib/testing/index.ts'

/** The keys whose value, parameters or result are any, down to `Depth` levels of objects and functions. */
type AnyIn<T, Depth extends readonly unknown[] = [1, 1, 1, 1]> = 0 extends 1 & T
  ? 'any'
  : Depth extends readonly [unknown, ...infer Rest]
    ? T extends (...args: infer A) => infer R
      ? AnyIn<A, Rest> | AnyIn<R, Rest>
      : T extends Promise<infer V>
        ? AnyIn<V, Rest>
        : T extends readonly (infer V)[]
          ? AnyIn<V, Rest>
          : T extends Foreign
            ? never
            : T extends object
              ? { [K in keyof T]-?: AnyIn<T[K], Rest> extends never ? never : K }[keyof T]
              : never
    : never

/** Types of others, that are as they are. */
type Foreign =
  | Buffer
  | Uint8Array
  | AbortSignal
  | Error
  | Map<never, never>
  | ReadonlyMap<string, unknown>
  | Set<never>

test('the probe finds any where there is one', (t) => {
  expectTypeOf<AnyIn<{ a: { b: ReturnType<typeof JSON.parse> } }>>().toEqualTypeOf<'a'>()
  expectTypeOf<AnyIn<(a: string) => Promise<ReturnType<typeof JSON.parse>>>>().toEqualTypeOf<'any'>()
  expectTypeOf<AnyIn<(a: ReturnType<typeof JSON.parse>[]) => void>>().toEqualTypeOf<'any'>()
  expectTypeOf<AnyIn<{ a: unknown; b: string[]; c: (d: object) => void }>>().toEqualTypeOf<never>()
  t.pass()
})

test('nothing a program can call or read is any', (t) => {
  // What a class inherits from Error's own constructor is Node's; the prototype of a generic class is of any.
  expectTypeOf<
    AnyIn<Omit<typeof face, 'MqttasgiError' | 'Retry' | 'Reject' | 'Drop' | 'MqttConsumer'>>
  >().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<ConstructorParameters<typeof face.MqttasgiError>>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<ConstructorParameters<typeof face.Retry>>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<ConstructorParameters<typeof face.Reject>>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<ConstructorParameters<typeof face.Drop>>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<typeof broker>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<typeof config>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<typeof testing>>().toEqualTypeOf<never>()
  t.pass()
})

test('no public type is any or holds any', (t) => {
  expectTypeOf<AnyIn<face.Context<{ room: string }>>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<face.MqttConsumer<{ unit: string }>>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<face.RawApplication>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<testing.MqttCommunicator>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<face.Application>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<face.Router<{ room: string }>>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<face.Server>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<face.ServeOptions>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<face.Client>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<face.Scope>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<face.MessageProperties>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<face.Pattern<'a/+x'>>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<face.MqttasgiError>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<config.ConfigInput>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<broker.EmbeddedBroker>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<testing.DispatchResult>>().toEqualTypeOf<never>()
  expectTypeOf<AnyIn<testing.DispatchOptions>>().toEqualTypeOf<never>()
  t.pass()
})

test('what a handler reads has a type of its own', (t) => {
  type Ctx = face.Context
  expectTypeOf<Ctx['payload']>().toEqualTypeOf<Buffer>()
  expectTypeOf<Ctx['state'][string]>().toEqualTypeOf<unknown>()
  expectTypeOf<ReturnType<Ctx['json']>>().toEqualTypeOf<unknown>()
  expectTypeOf<Ctx['params']>().toEqualTypeOf<object>()
  expectTypeOf<Ctx['signal']>().toEqualTypeOf<AbortSignal>()
  expectTypeOf<Ctx['properties']['userProperties']>().toEqualTypeOf<
    Readonly<Record<string, readonly string[]>> | undefined
  >()
  t.pass()
})
