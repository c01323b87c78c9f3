// The handlers of channel events that an application has declared: by type, with the groups they are for.
import { assertChannelType } from './channel-intake.ts'
import type { ChannelEvent } from './channel-layer.ts'
import { assertGroup } from './channel-name.ts'
import { MqttasgiError } from './errors.ts'
import type { Logger } from './log.ts'
import type { Client } from './receiver.ts'
import type { Scope } from './scope.ts'

/** What a handler of channel events finds beside the event. */
export interface ChannelContext extends Pick<Client, 'publish'> {
  readonly log: Logger
  readonly scope: Scope
  /** The channel of this application in this process: whoever is told its name can answer with `send()`. */
  readonly channelName: string
  /** Aborts when the handler's time is over, which is `timeoutMs` of the application: the next event has its turn then. */
  readonly signal: AbortSignal
  /** Sends an event to a channel. Codes as those of the layer. */
  send(channel: string, event: ChannelEvent): Promise<void>
  /** Sends an event to all channels of a group, this application's included where it is in it. */
  groupSend(group: string, event: ChannelEvent): Promise<void>
}

/** A handler of channel events. What it throws is logged and counted; the event is not given to it again. */
export type ChannelHandler = (event: ChannelEvent, ctx: ChannelContext) => unknown

/** How its events come. */
export interface ChannelHandlerOptions {
  /** Groups that the application is in as long as a server runs it. */
  readonly group?: string | readonly string[]
}

/** What was declared, and who is told when there is more. */
export class ChannelHandlers {
  readonly byType: Map<string, ChannelHandler> = new Map<string, ChannelHandler>()
  readonly groups: Set<string> = new Set<string>()
  readonly #listeners = new Set<() => void>()

  /** Codes: `ERR_HANDLER_INVALID`, `ERR_CHANNEL_NAME`. */
  declare(type: string, options: ChannelHandlerOptions, handler: ChannelHandler): void {
    assertChannelType(type)
    if (typeof handler !== 'function') {
      throw new MqttasgiError(
        'ERR_HANDLER_INVALID',
        `channel("${type}") expects a function, and got a value of type ${typeof handler}.`,
      )
    }
    if (this.byType.has(type)) {
      throw new MqttasgiError('ERR_HANDLER_INVALID', `There is a handler for channel("${type}") already.`)
    }
    const unknown = Object.keys(options).find((key) => key !== 'group')
    if (unknown !== undefined) {
      throw new MqttasgiError(
        'ERR_HANDLER_INVALID',
        `channel("${type}") has the option group, and got ${JSON.stringify(unknown)}.`,
      )
    }
    const groups = [options.group ?? []].flat()
    for (const group of groups) assertGroup(group)
    this.byType.set(type, handler)
    for (const group of groups) this.groups.add(group)
    for (const listener of this.#listeners) listener()
  }

  /** Calls `listener` when something was declared; returns its undo. */
  onDeclared(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}
