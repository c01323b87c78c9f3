// The channel of an application on one server: opened with the first connection, in its groups until the server stops.
import { ChannelGroups, JOIN_AGAIN_MS } from './channel-groups.ts'
import { ChannelIntake } from './channel-intake.ts'
import type { ChannelContext, ChannelHandler, ChannelHandlers } from './channel-handlers.ts'
import type { ChannelEvent, ChannelLayer } from './channel-layer.ts'
import { toError } from './errors.ts'
import type { ReceiverIdentity } from './hosted.ts'
import { LineLimit } from './line-limit.ts'
import { inLog } from './log.ts'
import type { Client } from './receiver.ts'

/** What it works with. */
export interface ApplicationChannelsParts {
  readonly layer: ChannelLayer
  readonly handlers: ChannelHandlers
  /** Milliseconds that one of them may take. */
  readonly handlerMs: number
  readonly client: () => Client
  readonly identity: Pick<ReceiverIdentity, 'id' | 'scope' | 'log' | 'clock' | 'countEvent'>
}

export class ApplicationChannels {
  readonly #parts: ApplicationChannelsParts
  readonly #limit: LineLimit
  // Of the handler that runs.
  #controller: AbortController | undefined = undefined
  #groups: ChannelGroups | undefined = undefined
  #intake: ChannelIntake<ChannelHandler> | undefined = undefined
  #opening: Promise<void> | undefined = undefined
  #cancelJoin: (() => void) | undefined = undefined
  #stopListening: (() => void) | undefined = undefined
  #isOver = false

  constructor(parts: ApplicationChannelsParts) {
    this.#parts = parts
    const { handlerMs: ms, identity } = parts
    this.#limit = new LineLimit({ ...identity, ms, over: (error) => this.#controller?.abort(error) })
  }

  /** There is a connection. Nothing is opened where nothing is declared. Never rejects. */
  async connected(): Promise<void> {
    this.#limit.count()
    await this.#begin()
  }

  /** It is lost: what waits for the broker can not end. */
  lost(): void {
    this.#limit.pause()
  }

  async #begin(): Promise<void> {
    const { handlers } = this.#parts
    this.#stopListening ??= handlers.onDeclared(() => void this.#begin())
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
    // Nobody waits for what still runs.
    this.#limit.pause()
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
    const { handlers, identity, layer } = this.#parts
    const { clock, countEvent: count, log } = identity
    const channel = await layer.newChannel()
    if (this.#isOver) return
    const ctx = this.#context(channel)
    this.#groups = new ChannelGroups({ layer, channel, log, clock })
    this.#intake = new ChannelIntake({
      layer,
      channel,
      handlers: handlers.byType,
      run: (handler, event) => this.#run(handler, event, ctx),
      count,
      log,
      clock,
    })
    this.#intake.start()
  }

  #run(handler: ChannelHandler, event: ChannelEvent, ctx: Omit<ChannelContext, 'signal'>): unknown {
    const { signal } = (this.#controller = new AbortController())
    return this.#limit.run(`The handler of the channel event "${inLog(event.type)}"`, () =>
      handler(event, Object.freeze({ ...ctx, signal })),
    )
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
    const { clock, log } = this.#parts.identity
    log.warn(`The groups of the application can not be joined, which is tried again: ${message}`)
    this.#cancelJoin?.()
    this.#cancelJoin = clock.after(JOIN_AGAIN_MS, () => void this.#begin())
  }

  #context(channelName: string): Omit<ChannelContext, 'signal'> {
    const { client, identity, layer } = this.#parts
    const { log, scope } = identity
    return {
      log,
      scope,
      channelName,
      publish: (topic, payload, options) => client().publish(topic, payload, options),
      send: (channel, event) => layer.send(channel, event),
      groupSend: (group, event) => layer.groupSend(group, event),
    }
  }
}
