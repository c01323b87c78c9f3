// The channel of an application on one server: opened with the first connection, in its groups until the server stops.
import { ChannelGroups, JOIN_AGAIN_MS } from './channel-groups.ts'
import { ChannelIntake, type EventCounter } from './channel-intake.ts'
import type { ChannelContext, ChannelHandler, ChannelHandlers } from './channel-handlers.ts'
import type { ChannelLayer } from './channel-layer.ts'
import type { Clock } from './clock.ts'
import { toError } from './errors.ts'
import type { Logger } from './log.ts'
import type { Client } from './receiver.ts'
import type { Scope } from './scope.ts'

/** What it works with. */
export interface ApplicationChannelsParts {
  readonly layer: ChannelLayer
  readonly handlers: ChannelHandlers
  readonly client: () => Client
  readonly count: ((counter: EventCounter) => void) | undefined
  readonly scope: Scope
  readonly log: Logger
  readonly clock: Pick<Clock, 'after'>
}

export class ApplicationChannels {
  readonly #parts: ApplicationChannelsParts
  #groups: ChannelGroups | undefined = undefined
  #intake: ChannelIntake<ChannelHandler> | undefined = undefined
  #opening: Promise<void> | undefined = undefined
  #cancelJoin: (() => void) | undefined = undefined
  #stopListening: (() => void) | undefined = undefined
  #isOver = false

  constructor(parts: ApplicationChannelsParts) {
    this.#parts = parts
  }

  /** There is a connection. Nothing is opened where nothing is declared. Never rejects. */
  async begin(): Promise<void> {
    const { handlers } = this.#parts
    this.#stopListening ??= handlers.onDeclared(() => void this.begin())
    if (handlers.byType.size === 0 || this.#isOver) return
    try {
      await (this.#opening ??= this.#opened())
      await this.#join()
    } catch (error) {
      this.#again(toError(error))
    }
  }

  /** Receives nothing more, and leaves all groups. Never rejects. */
  async end(): Promise<void> {
    this.stop()
    await this.#groups?.leave()
  }

  /** Receives nothing more, at once. */
  stop(): void {
    this.#isOver = true
    this.#intake?.stop()
    this.#groups?.stop()
    this.#cancelJoin?.()
    this.#stopListening?.()
  }

  // Once: a group that can not be joined is no reason for a second channel, which would get each event again.
  async #opened(): Promise<void> {
    try {
      await this.#open()
    } catch (error) {
      this.#opening = undefined
      throw error
    }
  }

  async #open(): Promise<void> {
    const { clock, count, handlers, layer, log } = this.#parts
    const channel = await layer.newChannel()
    if (this.#isOver) return
    const ctx = this.#context(channel)
    this.#groups = new ChannelGroups({ layer, channel, log, clock })
    this.#intake = new ChannelIntake({
      layer,
      channel,
      handlers: handlers.byType,
      run: (handler, event) => handler(event, ctx),
      count,
      log,
      clock,
    })
    this.#intake.start()
  }

  async #join(): Promise<void> {
    this.#cancelJoin?.()
    for (const group of this.#parts.handlers.groups) {
      if (this.#isOver) return
      await this.#groups?.add(group)
    }
  }

  #again({ message }: Error): void {
    if (this.#isOver) return
    this.#parts.log.warn(`The groups of the application can not be joined, which is tried again: ${message}`)
    this.#cancelJoin?.()
    this.#cancelJoin = this.#parts.clock.after(JOIN_AGAIN_MS, () => void this.begin())
  }

  #context(channelName: string): ChannelContext {
    const { client, layer, log, scope } = this.#parts
    return Object.freeze({
      log,
      scope,
      channelName,
      publish: (topic, payload, options) => client().publish(topic, payload, options),
      send: (channel, event) => layer.send(channel, event),
      groupSend: (group, event) => layer.groupSend(group, event),
    } satisfies ChannelContext)
  }
}
