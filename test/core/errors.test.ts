import test from 'ava'
import { MqttasgiError, toError } from '../../lib/core/errors.ts'

test('an error has a code, a kind, a name and keeps its cause', (t) => {
  const cause = new Error('first')
  const error = new MqttasgiError('ERR_TOPIC_INVALID', 'message', { cause, topic: 'a' })
  t.is(error.code, 'ERR_TOPIC_INVALID')
  t.is(error.kind, 'program')
  t.is(error.name, 'MqttasgiError')
  t.is(error.cause, cause)
  t.is(error.topic, 'a')
})

test('whatever is thrown becomes an error', (t) => {
  const error = new Error('kept')
  t.is(toError(error), error)
  t.is(toError('text').message, 'text')
  t.deepEqual(toError({ a: 1 }).cause, { a: 1 })
})
