// Makes a receiver's maker of everything that can be run: an application, a router, a consumer class, a raw application.
import { asApplication } from '../core/application.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { Hostable } from '../core/hosted.ts'
import { RouterNode } from '../core/router.ts'
import { ConsumerReceiver } from './consumer-receiver.ts'
import type { RawApplication } from './events.ts'
import { rawReceiver } from './raw.ts'
import { isConsumerClass, MqttConsumer } from './consumer.ts'

/**
 * Throws `ERR_APPLICATION_INVALID` for what can not be run; `what` begins the message.
 *
 * @example
 * const receiver = asHostable(Meter, 'The application').receiver({ id: 'meter', mount: '', scope, log, clock })
 */
export function asHostable(value: unknown, what: string): Hostable {
  if (value instanceof RouterNode) return asApplication(value, what)
  if (isConsumerClass(value)) {
    return { receiver: (identity) => new ConsumerReceiver(new value(), value, identity) }
  }
  if (isRawApplication(value)) return { receiver: (identity) => rawReceiver(value, identity) }
  throw new MqttasgiError(
    'ERR_APPLICATION_INVALID',
    `${what} is expected to be made by mqttasgi() or Router(), to be a class that extends MqttConsumer, or a function of three parameters, and is ${inWords(value)}`,
  )
}

const TWO_COPIES =
  'If it looks right, two copies of mqttasgi may be in use: installed twice, or loaded once by import and once by require (then npm pkg set type=module helps).'

function inWords(value: unknown): string {
  if (value === null) return `null. ${TWO_COPIES}`
  if (value instanceof MqttConsumer) return 'a consumer itself: give its class, the server makes the object.'
  if (typeof value !== 'function') return `a value of type ${typeof value}. ${TWO_COPIES}`
  if (isClass(value)) return `another class. ${TWO_COPIES}`
  return `a function that shows ${value.length} of them. A raw application, (scope, receive, send) => …, names all three, also those that it does not use, with no default value and no ...rest. A handler goes into app.topic(), and of a function that makes an application give what it returns.`
}

// A handler, a middleware and a function that makes an application are functions as well: their parameters tell them apart.
function isRawApplication(value: unknown): value is RawApplication {
  return typeof value === 'function' && value.length === 3 && !isClass(value)
}

// The prototype of a class can not be replaced.
function isClass(value: object): boolean {
  return Object.getOwnPropertyDescriptor(value, 'prototype')?.writable === false
}
