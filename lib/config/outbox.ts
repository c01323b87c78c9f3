// What may wait for the broker, decided.
import type { Choice } from './choice.ts'
import { filtersOf } from './filters.ts'
import type { OutboxSettings } from './settings.ts'

/** Code: `ERR_CONFIG_VALUE`. */
export function decideOutbox(choice: Choice): OutboxSettings {
  const maxAge = choice.given('outbox.maxAge')
  return Object.freeze({
    maxMessages: choice.number('outbox.maxMessages'),
    maxBytes: choice.number('outbox.maxBytes'),
    maxAgeMs: maxAge === undefined ? undefined : Math.round(Number(maxAge.value) * 1_000),
    whenFull: choice.text('outbox.whenFull') === 'drop-oldest' ? 'drop-oldest' : 'reject',
    latest: filtersOf(choice, 'outbox.latest', 'status/#') ?? [],
    qos0: choice.text('outbox.qos0') === 'keep' ? 'keep' : 'reject',
    durable: choice.isOn('outbox.durable'),
  })
}
