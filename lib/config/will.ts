// The last will, decided: what the broker publishes for us when we are gone without a word (3.1.2.5).
import { MqttasgiError } from '../core/errors.ts'
import { topicFault } from '../core/topic.ts'
import type { Choice } from './choice.ts'
import type { WillSettings } from './settings.ts'
import { show } from './value.ts'

const details = ['broker.will.payload', 'broker.will.qos', 'broker.will.retain', 'broker.will.delay'] as const

/** Undefined without a topic. Codes: `ERR_CONFIG_VALUE`, `ERR_USAGE` for a flag, `ERR_CONFIG_INCOMPLETE`. */
export function decideWill(choice: Choice): WillSettings | undefined {
  const topic = choice.text('broker.will.topic')
  if (topic === undefined) {
    const path = details.find((one) => choice.given(one) !== undefined)
    if (path === undefined) return undefined
    throw new MqttasgiError(
      'ERR_CONFIG_INCOMPLETE',
      `${path} (${choice.source(path)}) was given, and there is no broker.will.topic to publish it on. Give one as broker.will.topic, --will-topic or MQTT_WILL_TOPIC.`,
    )
  }
  const fault = topicFault(topic) ?? (topic.startsWith('$') ? '$ topics are the broker’s own' : undefined)
  if (fault !== undefined) {
    throw new MqttasgiError(
      choice.valueCode('broker.will.topic'),
      `broker.will.topic (${choice.source('broker.will.topic')}): expected a topic such as "status/greenhouse", got ${show(topic)}: ${fault}.`,
    )
  }
  const qos = choice.given('broker.will.qos')?.value
  return Object.freeze({
    topic,
    payload: choice.text('broker.will.payload') ?? '',
    qos: qos === 0 || qos === 2 ? qos : 1,
    retain: choice.isOn('broker.will.retain'),
    delaySeconds: Number(choice.given('broker.will.delay')?.value ?? 0),
  })
}
