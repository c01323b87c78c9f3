// What the configuration says of subscriptions: overlapping filters, and whether shared ones are tried.
import { MqttasgiError } from '../core/errors.ts'
import { topicFault } from '../core/topic.ts'
import type { Choice } from './choice.ts'
import type { BrokerSettings, Settings } from './settings.ts'
import { show } from './value.ts'

export function overlapOf(choice: Choice): Settings['overlap'] {
  const overlap = choice.text('overlap')
  return overlap === 'accept' || overlap === 'superset' ? overlap : undefined
}

/** Code: `ERR_CONFIG_VALUE`. */
export function shareProbeOf(choice: Choice): BrokerSettings['shareProbe'] {
  const topic = choice.text('broker.shareProbe') ?? ''
  if (topic === 'off') return undefined
  const fault = topicFault(topic) ?? (topic.startsWith('$') ? 'it begins with "$"' : undefined)
  if (fault === undefined) return topic
  throw new MqttasgiError(
    choice.valueCode('broker.shareProbe'),
    `broker.shareProbe (${choice.source('broker.shareProbe')}): expected a topic such as mqttasgi/probe, or off, got ${show(topic)}: ${fault}.`,
  )
}
