// The channel of one consumer: its name, the groups it is in, and the events that come.
import { ChannelGroups } from '../core/channel-groups.ts'
import { channelHandlers, ChannelIntake, type EventCounter } from '../core/channel-intake.ts'
import type { ChannelEvent, ChannelLayer } from '../core/channel-layer.ts'
import type { Clock } from '../core/clock.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'

/** A handler that is bound to its consumer. */
export type BoundChannelHandler = (event: ChannelEvent) => unknown

/** What it works with. */
export interface ConsumerChannelsParts {
  readonly layer: ChannelLayer | undefined
  readonly handlers: ReadonlyMap<string, BoundChannelHandler>
  /** Runs a handler in the consumer's line. */
  readonly run: (handler: BoundChannelHandler, event: ChannelEvent) => unknown
  readonly count: ((counter: EventCounter) => void) | undefined
  readonly log: Logger
  readonly clock: Pick<Clock, 'after'>
}

export class ConsumerChannels {
  readonly #parts: ConsumerChannelsParts
  #opening: Promise<ChannelGroups> | undefined = undefined
  #channel: string | undefined = undefined
  #groups: ChannelGroups | undefined = undefined
  #intake: ChannelIntake<BoundChannelHandler> | undefined = undefined
  #ending: Promise<void> | undefined = undefined
  #isOver = false

  constructor(parts: ConsumerChannelsParts) {
    this.#parts = parts
  }

  get layer(): ChannelLayer {
    const { layer } = this.#parts
    if (layer === undefined) {
      throw new MqttasgiError(
        'ERR_CHANNEL_LAYER',
        'This server has no channel layer. Give it one with the option channels.',
      )
    }
    return layer
  }

  get channel(): string {
    if (this.#channel !== undefined) return this.#channel
    void this.layer
    throw new MqttasgiError(
      'ERR_CHANNEL_LAYER',
      'This consumer has no channel yet: it gets one before connect() where it declares static channelHandlers, else with its first groupAdd().',
    )
  }

  /** Opens the channel where there is something to do with what comes. */
  async begin(): Promise<void> {
    if (this.#parts.handlers.size > 0 && this.#parts.layer !== undefined) await this.#open()
  }

  async groupAdd(group: string): Promise<void> {
    const groups = await this.#open()
    await groups.add(group)
  }

  async groupDiscard(group: string): Promise<void> {
    const groups = await this.#open()
    await groups.discard(group)
  }

  /** Receives nothing more, and leaves all groups. */
  end(): Promise<void> {
    this.#ending ??= this.#end()
    return this.#ending
  }

  async #end(): Promise<void> {
    this.#isOver = true
    this.#intake?.stop()
    await this.#groups?.leave()
  }

  #open(): Promise<ChannelGroups> {
    this.#opening ??= this.#openChannel().catch((error: unknown) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  async #openChannel(): Promise<ChannelGroups> {
    const { clock, count, handlers, log, run } = this.#parts
    const { layer } = this
    const channel = await layer.newChannel()
    this.#channel = channel
    this.#intake = new ChannelIntake({ layer, channel, handlers, run, count, log, clock })
    const groups = (this.#groups = new ChannelGroups({ layer, channel, log, clock }))
    if (this.#isOver) groups.stop()
    else this.#intake.start()
    return groups
  }
}

/** Throws `ERR_HANDLER_INVALID` for what is no handler. */
export function boundHandlers(
  consumer: object,
  table: Readonly<Record<string, unknown>>,
): ReadonlyMap<string, BoundChannelHandler> {
  const handlers = new Map<string, BoundChannelHandler>()
  for (const [type, named] of channelHandlers(table)) {
    const handler: unknown = typeof named === 'string' ? Reflect.get(consumer, named) : named
    if (typeof handler !== 'function') {
      throw new MqttasgiError(
        'ERR_HANDLER_INVALID',
        `channelHandlers of ${consumer.constructor.name}: "${type}" is expected to name a method or to be a function, and ${typeof named === 'string' ? `there is no method "${named}"` : `is a value of type ${typeof named}`}.`,
      )
    }
    handlers.set(type, (event: ChannelEvent): unknown => Reflect.apply(handler, consumer, [event]))
  }
  return handlers
}
