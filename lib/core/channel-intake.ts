// The way of channel events to their handlers: receives from one channel, one event at a time, and drops what nobody has declared.
import { isEventType } from './channel-event.ts'
import type { ChannelEvent, ChannelLayer } from './channel-layer.ts'
import type { Clock } from './clock.ts'
import { MqttasgiError, toError } from './errors.ts'
import { inLog, type Logger } from './log.ts'
import { Pauses } from './pauses.ts'

export const eventCounters = ['eventsHandled', 'eventsFailed', 'eventsDropped'] as const

/** What becomes of an event, as the server counts it. An event is dropped when nobody has declared its type. */
export type EventCounter = (typeof eventCounters)[number]

/** What an intake works with. */
export interface ChannelIntakeParts<H> {
  readonly layer: Pick<ChannelLayer, 'receive'>
  readonly channel: string
  /** By the type of the event; `channelHandlers()` makes it. It may grow while the intake runs. */
  readonly handlers: ReadonlyMap<string, H>
  /** Runs a handler; the next event is received when what this returns has settled. */
  readonly run: (handler: H, event: ChannelEvent) => unknown
  readonly count: ((counter: EventCounter) => void) | undefined
  readonly log: Logger
  readonly clock: Pick<Clock, 'after'>
}

const FIRST_WAIT_MS = 100
const LONGEST_WAIT_MS = 5_000
const MOST_TYPES_SAID = 100

/** Receives from `start()` until `stop()`. What a handler throws is logged and counted, and ends nothing. */
export class ChannelIntake<H> {
  readonly #parts: ChannelIntakeParts<H>
  readonly #stopped = new AbortController()
  readonly #pauses: Pauses
  readonly #said = new Set<string>()
  #failures = 0

  constructor(parts: ChannelIntakeParts<H>) {
    this.#parts = parts
    this.#pauses = new Pauses(parts.clock)
  }

  /** Begins to receive. Call it once. */
  start(): void {
    void this.#receive()
  }

  /** Receives nothing more; a handler that runs goes on. */
  stop(): void {
    this.#stopped.abort(new MqttasgiError('ERR_STOPPED', 'Nothing is received from this channel any more.'))
    this.#pauses.end()
  }

  async #receive(): Promise<void> {
    const { channel, layer } = this.#parts
    const { signal } = this.#stopped
    while (!signal.aborted) {
      try {
        const event = await layer.receive(channel, signal)
        this.#sayRecovered()
        await this.#handle(event)
      } catch (thrown) {
        if (signal.aborted || isClosed(thrown)) return
        await this.#pause(toError(thrown))
      }
    }
  }

  async #handle(event: ChannelEvent): Promise<void> {
    const { count, handlers, log, run } = this.#parts
    const handler = handlers.get(event.type)
    if (handler === undefined) return this.#drop(event)
    try {
      await run(handler, event)
      count?.('eventsHandled')
    } catch (thrown) {
      count?.('eventsFailed')
      const error = toError(thrown)
      log.error(`The handler of the channel event "${inLog(event.type)}" failed: ${error.message}`, { error })
    }
  }

  // Whoever can send can send a million types: some are named, all are counted.
  #drop({ type }: ChannelEvent): void {
    this.#parts.count?.('eventsDropped')
    if (this.#said.has(type) || this.#said.size >= MOST_TYPES_SAID) return
    this.#said.add(type)
    this.#parts.log.warn(
      `A channel event of the type "${inLog(type)}" was dropped: no handler is declared for it. Further ones of this type are counted and not told.`,
    )
  }

  async #pause({ message }: Error): Promise<void> {
    if (this.#failures === 0) this.#parts.log.warn(`Channel events can not be received for now: ${message}`)
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(this.#failures, 10))
    this.#failures++
    await this.#pauses.wait(wait)
  }

  #sayRecovered(): void {
    if (this.#failures > 0) this.#parts.log.info('Channel events are received again.')
    this.#failures = 0
  }
}

/**
 * Handlers by the type of their event. Only own properties count, and the types of the protocol itself can not be
 * declared, so that nobody can send them. Throws `ERR_HANDLER_INVALID`.
 */
export function channelHandlers<H>(table: Readonly<Record<string, H>>): Map<string, H> {
  for (const type of Object.keys(table)) assertChannelType(type)
  return new Map(Object.entries(table))
}

/** Throws `ERR_HANDLER_INVALID` when no handler may be declared for this type: nobody can send it, or nobody may. */
export function assertChannelType(type: unknown): void {
  if (isEventType(type) && !/^mqtt(?:asgi)?\./.test(type)) return
  const what = typeof type === 'string' ? `"${inLog(type)}"` : `a value of type ${typeof type}`
  throw new MqttasgiError(
    'ERR_HANDLER_INVALID',
    `The type of a channel event is at most 99 letters, digits, hyphens and underscores in words joined by dots, such as alarm.raised, does not begin with "mqtt." or "mqttasgi.", and ${what} is none.`,
  )
}

function isClosed(thrown: unknown): boolean {
  return thrown instanceof MqttasgiError && thrown.code === 'ERR_CHANNEL_CLOSED'
}
