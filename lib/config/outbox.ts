// What may wait for the broker, decided.
import { MqttasgiError } from '../core/errors.ts'
import { matches } from '../core/topic.ts'
import type { Choice } from './choice.ts'
import { filtersOf } from './filters.ts'
import type { DeadLetterSettings, OutboxSettings } from './settings.ts'

/** Codes: `ERR_CONFIG_VALUE`, `ERR_CONFIG_CONFLICT`. */
export function decideOutbox(choice: Choice, { topic }: Pick<DeadLetterSettings, 'topic'>): OutboxSettings {
  const latest = filtersOf(choice, 'outbox.latest', 'status/#') ?? []
  const filter = latest.find((one) => topic !== undefined && matches(one, topic))
  if (filter !== undefined) {
    const message = `outbox.latest (${choice.source('outbox.latest')}) has "${filter}", and deadLetter.topic (${choice.source('deadLetter.topic')}) is a topic that it matches: of the dead letters that wait only the newest would be sent.`
    throw new MqttasgiError('ERR_CONFIG_CONFLICT', `${message} Name the topics of states only.`)
  }
  const maxAge = choice.given('outbox.maxAge')
  return Object.freeze({
    maxMessages: choice.number('outbox.maxMessages'),
    maxBytes: choice.number('outbox.maxBytes'),
    maxAgeMs: maxAge === undefined ? undefined : Math.round(Number(maxAge.value) * 1_000),
    whenFull: choice.text('outbox.whenFull') === 'drop-oldest' ? 'drop-oldest' : 'reject',
    latest,
    qos0: choice.text('outbox.qos0') === 'keep' ? 'keep' : 'reject',
    durable: choice.isOn('outbox.durable'),
  })
}
