import test from 'ava'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { checkPublishOptions } from '../../lib/core/publish-options.ts'

function refused(options: object): string | undefined {
  try {
    checkPublishOptions('a', options)
    return undefined
  } catch (error) {
    return error instanceof MqttasgiError ? `${error.code} ${error.message}` : String(error)
  }
}

test('a name that is no option or property is refused, with those there are', (t) => {
  t.regex(
    refused({ retained: true }) ?? '',
    /^ERR_PUBLISH_INVALID .*"retained" is no option.*qos, retain, properties/,
  )
  t.regex(refused({ properties: { userProps: {} } }) ?? '', /"userProps" is no property.*userProperties/)
})

test('what is no object is refused with what came', (t) => {
  for (const wrong of [null, 5, 'qos'] as never[]) {
    t.regex(
      refused(wrong) ?? '',
      /^ERR_PUBLISH_INVALID "a" was not published: the options must be an object, not (null|5|qos)/,
    )
    t.regex(refused({ properties: wrong }) ?? '', /the properties must be an object, not/)
  }
})

test('all that there is passes', (t) => {
  const properties = {
    payloadFormatIndicator: true,
    messageExpiryInterval: 1,
    contentType: 'text/plain',
    responseTopic: 'b',
    correlationData: Buffer.from('c'),
    userProperties: { d: ['e'] },
  }
  t.is(refused({ qos: 1, retain: true, properties }), undefined)
  t.is(refused({}), undefined)
})

test('what is waited for is the answer or the disk', (t) => {
  t.notThrows(() => checkPublishOptions('a', { until: 'stored' }))
  t.notThrows(() => checkPublishOptions('a', { until: 'answered' }))
  t.throws(() => checkPublishOptions('a', { until: 'sent' as 'stored' }), {
    code: 'ERR_PUBLISH_INVALID',
    message: /until must be answered or stored, not sent/,
  })
})

test('whether it is retained is true or false', (t) => {
  t.throws(() => checkPublishOptions('a', { retain: 'no' as unknown as boolean }), {
    code: 'ERR_PUBLISH_INVALID',
    message: /retain must be true or false, not no/,
  })
})
