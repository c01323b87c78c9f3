// Where dead letters go, decided: what the chosen store needs is there, and what it can not be is refused.
import { MqttasgiError } from '../core/errors.ts'
import { topicFault } from '../core/topic.ts'
import type { Choice } from './choice.ts'
import { type OptionPath, placesInWords } from './options.ts'
import { redisUrl } from './redis-url.ts'
import type { BrokerSettings, DeadLetterSettings } from './settings.ts'
import { show } from './value.ts'

/** Codes: `ERR_CONFIG_VALUE`, `ERR_CONFIG_INCOMPLETE`, `ERR_CONFIG_CONFLICT`. */
export function decideDeadLetter(
  choice: Choice,
  { protocolVersion }: Pick<BrokerSettings, 'protocolVersion'>,
): DeadLetterSettings {
  const name = choice.text('deadLetter.store')
  const store = name === 'topic' || name === 'redis' || name === 'none' ? name : 'journal'
  const unverified = choice.isOn('deadLetter.unverified')
  const topic = store === 'topic' ? topicOf(choice) : undefined
  if (topic !== undefined && protocolVersion === 4 && !unverified) {
    const message = `deadLetter.store is topic (${choice.source('deadLetter.store')}), and broker.protocolVersion is 4 (${choice.source('broker.protocolVersion')}): on MQTT 3.1.1 a letter that nobody subscribes to is lost unseen.`
    const mend = 'Use MQTT 5 or the journal, or set deadLetter.unverified.'
    throw new MqttasgiError('ERR_CONFIG_CONFLICT', `${message} ${mend}`)
  }
  return Object.freeze({
    store,
    topic,
    redis:
      store === 'redis'
        ? redisUrl(needed(choice, 'deadLetter.redis', 'Give its address'), choice, 'deadLetter.redis')
        : undefined,
    unverified,
    maxMessages: choice.number('deadLetter.maxMessages'),
    maxBytes: choice.number('deadLetter.maxBytes'),
  })
}

function topicOf(choice: Choice): string {
  const topic = needed(choice, 'deadLetter.topic', 'Give a topic that somebody subscribes to')
  const fault = topicFault(topic) ?? (topic.startsWith('$') ? '$ topics are the broker’s own' : undefined)
  if (fault === undefined) return topic
  const source = choice.source('deadLetter.topic')
  throw new MqttasgiError(
    choice.valueCode('deadLetter.topic'),
    `deadLetter.topic (${source}): expected a topic such as "dead-letters/greenhouse", got ${show(topic)}: ${fault}.`,
  )
}

function needed(choice: Choice, path: OptionPath, mend: string): string {
  const value = choice.text(path)
  if (value !== undefined) return value
  const store = `deadLetter.store is ${choice.text('deadLetter.store')} (${choice.source('deadLetter.store')})`
  throw new MqttasgiError(
    'ERR_CONFIG_INCOMPLETE',
    `${store}, and there is no ${path}. ${mend}, as ${placesInWords(path)}.`,
  )
}
