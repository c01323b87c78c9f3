// An outbox with a clock that stands still, and a connection that does what the test says.
import type { ExecutionContext } from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import { MqttasgiError, type ErrorCode } from '../../lib/core/errors.ts'
import type { PublishOptions, PublishResult } from '../../lib/core/message.ts'
import type { KeptPublication, OutboxStore } from '../../lib/core/outbox-store.ts'
import { zeroCounters, type Counters } from '../../lib/server/counters.ts'
import { Outbox } from '../../lib/server/outbox.ts'
import type { OutboxPolicy } from '../../lib/server/outbox-policy.ts'
import { noLimits } from '../../lib/transport/outgoing-publish.ts'
import { FakeClock } from './fake-clock.ts'

export const DONE: PublishResult = { reasonCode: 0 }
export const STOPPED: MqttasgiError = new MqttasgiError('ERR_STOPPED', 'The server has been stopped.')

/** What was handed to the connection. */
export interface Sent {
  readonly topic: string
  readonly payload: Buffer
  readonly options: PublishOptions
  readonly answer: Deferred<PublishResult>
}

export interface OutboxStage {
  readonly outbox: Outbox
  readonly sent: Sent[]
  readonly topics: () => string[]
  readonly clock: FakeClock
  readonly counters: Counters
  readonly lines: string[]
}

export interface StageSetup {
  readonly policy?: Partial<OutboxPolicy>
  readonly store?: OutboxStore
  readonly left?: readonly KeptPublication[]
  readonly clock?: FakeClock
  /** Milliseconds since 1970 at the start. */
  readonly wall?: number
}

export function stageOutbox({
  clock = new FakeClock(),
  left = [],
  policy,
  store,
  wall = 0,
}: StageSetup = {}): OutboxStage {
  const sent: Sent[] = []
  const lines: string[] = []
  const counters = zeroCounters()
  const at =
    (level: string) =>
    (text: string): void =>
      void lines.push(`${level}: ${text}`)
  const outbox = new Outbox({
    send: (topic, payload, options) => {
      const answer = new Deferred<PublishResult>()
      sent.push({ topic, payload, options, answer })
      return answer.promise
    },
    policy: { maxMessages: 10, maxBytes: 1_000, ...policy },
    counters,
    clock,
    log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    durable: store === undefined ? undefined : { store, left },
    wallNow: () => wall + clock.now(),
  })
  return { outbox, sent, clock, counters, lines, topics: () => sent.map(({ topic }) => topic) }
}

/** A topic of one letter and a payload of 12 bytes make a frame of 20. */
export function publish(
  { outbox }: OutboxStage,
  topic: string,
  options: PublishOptions = {},
  payload: Buffer = Buffer.alloc(12),
): Promise<PublishResult> {
  const result = outbox.publish(topic, payload, options)
  // Many tests do not look at each of them.
  result.catch(() => {})
  return result
}

export function goOnline({ outbox }: OutboxStage, window = 10): void {
  outbox.connected(window, noLimits)
}

export async function rejectsWith(
  t: ExecutionContext,
  promise: Promise<unknown> | undefined,
  code: ErrorCode,
  message?: RegExp,
): Promise<void> {
  const error = await t.throwsAsync(promise ?? Promise.resolve(), { instanceOf: MqttasgiError })
  t.is(error?.code, code)
  if (message !== undefined) t.regex(error?.message ?? '', message)
}
