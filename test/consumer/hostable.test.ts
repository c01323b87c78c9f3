// What can be run, and what is said of what can not.
import test from 'ava'
import { MqttConsumer } from '../../lib/consumer/consumer.ts'
import { asHostable } from '../../lib/consumer/hostable.ts'
import { mqttasgi } from '../../lib/core/application.ts'
import { Router } from '../../lib/core/router.ts'
import { hosted } from '../helpers/consumer-server.ts'

test('an application, a router, a consumer class and a raw application can be run', (t) => {
  class Meter extends MqttConsumer {}
  class Better extends Meter {}
  for (const one of [
    mqttasgi(),
    Router(),
    Meter,
    Better,
    async (_a: unknown, _b: unknown, _c: unknown) => {},
  ]) {
    const receiver = hosted(one, { id: 'one' })
    t.is(receiver.id, 'one')
    receiver.release()
  }
})

test('anything else is refused with what it is', (t) => {
  class Other {
    readonly all: readonly unknown[]
    constructor(one: unknown, two: unknown, three: unknown) {
      this.all = [one, two, three]
    }
  }
  const cases: [unknown, RegExp][] = [
    [null, /and is null\. .*two copies of mqttasgi/],
    [{}, /and is a value of type object/],
    [Other, /and is another class/],
    [new MqttConsumer(), /give its class/],
  ]
  for (const [value, message] of cases) {
    t.throws(() => asHostable(value, 'Worker "a"'), { code: 'ERR_APPLICATION_INVALID', message })
  }
})

test('a function that does not show three parameters is told how a raw application is written', (t) => {
  const functions: readonly ((...args: never[]) => unknown)[] = [
    async (_scope: unknown, _receive: unknown) => {},
    async (...all: unknown[]) => void all,
    async (_scope: unknown, _receive: unknown, _send: unknown = null) => {},
    (_ctx: unknown) => {},
    () => mqttasgi(),
  ]
  for (const one of functions) {
    const { message } = t.throws(() => asHostable(one, 'Worker "a"'), { code: 'ERR_APPLICATION_INVALID' })
    t.regex(message, new RegExp(`and is a function that shows ${one.length} of them\\. `))
    t.regex(message, /\(scope, receive, send\) => …, names all three, .* no default value and no \.\.\.rest/)
    t.notRegex(message, /two copies/)
  }
})
