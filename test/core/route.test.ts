import test, { type ExecutionContext } from 'ava'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { resolveRouteOptions, type RouteOptions } from '../../lib/core/route.ts'

function refused(t: ExecutionContext, options: Record<string, unknown>, words: RegExp, share?: string): void {
  const act = (): unknown => resolveRouteOptions('a/+x', options, share)
  const error = t.throws(act, { instanceOf: MqttasgiError, message: words })
  t.is(error?.code, 'ERR_ROUTE_OPTION')
  t.regex(error?.message ?? '', /^Route "a\/\+x": /)
}

test('a route has every option, given or by default', (t) => {
  const defaults = {
    qos: 1,
    noLocal: false,
    retainHandling: 0,
    retainAsPublished: false,
    share: undefined,
    delivery: {},
    description: undefined,
  } as const
  t.deepEqual(resolveRouteOptions('a', {}, undefined), defaults)
  const given = {
    qos: 2,
    noLocal: true,
    retainHandling: 2,
    retainAsPublished: true,
    description: 'a sentence',
  } as const
  const delivery = { timeoutMs: 5_000, order: 'none', retry: { attempts: 7 } } as const
  t.deepEqual(resolveRouteOptions('a', { ...given, ...delivery }, undefined), {
    ...defaults,
    ...given,
    delivery,
  })
})

test('an option that is undefined is not given', (t) => {
  const undefinedOnes = { qos: undefined, share: undefined } as unknown as RouteOptions
  t.like(resolveRouteOptions('a', undefinedOnes, undefined), { qos: 1, share: undefined })
})

test('the group of the pattern is the same as the option', (t) => {
  t.is(resolveRouteOptions('a', {}, 'g').share, 'g')
  t.is(resolveRouteOptions('a', { share: 'g' }, undefined).share, 'g')
  t.is(resolveRouteOptions('a', { share: 'g' }, 'g').share, 'g')
  refused(t, { share: 'h' }, /share is "h".*"\$share\/g\/"/, 'g')
})

test('noLocal and share exclude each other, wherever the group is written', (t) => {
  refused(t, { noLocal: true, share: 'g' }, /MQTT-3\.8\.3-4/)
  refused(t, { noLocal: true }, /MQTT-3\.8\.3-4/, 'g')
  t.notThrows(() => resolveRouteOptions('a', { noLocal: false, share: 'g' }, undefined))
})

test('an unknown option is refused with those there are', (t) => {
  refused(t, { quos: 1 }, /"quos" is not an option.*qos, noLocal, retainHandling.*retry/)
  refused(t, { toString: 1 }, /"toString" is not/)
})

test('options that are no object are refused with what came', (t) => {
  refused(t, null as never, /expected an object with options, got null/)
  refused(t, 5 as never, /expected an object with options, got a value of type number/)
})

const wrong: readonly (readonly [option: string, values: readonly unknown[], expected: RegExp])[] = [
  ['qos', [3, -1, '1', null, 0.5], /0, 1 or 2/],
  ['retainHandling', [3, true], /0, 1 or 2/],
  ['noLocal', ['yes', 1], /true or false/],
  ['retainAsPublished', [0], /true or false/],
  ['share', ['', 'a/b', 'a+', '#', 7], /name of a group/],
  [
    'timeoutMs',
    [-5, 1.5, Number.NaN, 2 ** 31, Number.POSITIVE_INFINITY, '100'],
    /whole number of milliseconds/,
  ],
  ['description', [1, {}], /a string/],
]

for (const [option, values, expected] of wrong) {
  test(`a wrong ${option} is refused with what came and what was expected`, (t) => {
    for (const value of values) refused(t, { [option]: value }, expected)
  })
}

test('the longest time that a timer can take is allowed', (t) => {
  t.is(resolveRouteOptions('a', { timeoutMs: 2 ** 31 - 1 }, undefined).delivery.timeoutMs, 2 ** 31 - 1)
})
