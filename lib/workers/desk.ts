// The desk where a thread asks for what only the server's thread can do: the broker, and the channels.
import type { ChannelLayer } from '../core/channel-layer.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { ReceiverIdentity } from '../core/hosted.ts'
import type { Client } from '../core/receiver.ts'
import { ownBytes } from '../core/own-bytes.ts'
import { wireError } from './wire-error.ts'
import type { Line, ThreadCall, ToThread } from './wire.ts'

const clientMethods: ReadonlySet<string> = new Set(['publish', 'subscribe', 'unsubscribe'])
const channelMethods: ReadonlySet<string> = new Set([
  'send',
  'receive',
  'newChannel',
  'groupAdd',
  'groupDiscard',
  'groupSend',
  'flush',
])

type Membership = readonly [group: string, channel: string]
type Method = (...args: readonly unknown[]) => Promise<unknown>

export class Desk {
  readonly #line: Line<ToThread>
  readonly #client: () => Client
  readonly #channels: ChannelLayer | undefined
  readonly #ready: () => Promise<void>
  /** Calls that wait for an event, and can be taken back. */
  readonly #waiting = new Map<number, AbortController>()
  /** Groups and the channels of the thread in them. */
  readonly #memberships = new Map<string, Membership>()
  #isClosed = false

  constructor(
    line: Line<ToThread>,
    client: () => Client,
    { channels, ready = async () => {} }: Pick<ReceiverIdentity, 'channels' | 'ready'>,
  ) {
    this.#line = line
    this.#client = client
    this.#channels = channels
    this.#ready = ready
  }

  async asked({ args, call, method, target }: ThreadCall): Promise<void> {
    try {
      const value =
        target === 'client' ? await this.#ask(method, args) : await this.#route(call, method, args)
      if (!this.#isClosed) this.#line.post({ type: 'answer', call, value: ownBytes(value) })
    } catch (error) {
      if (!this.#isClosed) this.#line.post({ type: 'refusal', call, error: wireError(error) })
    }
  }

  cancelled(call: number): void {
    this.#waiting.get(call)?.abort(new Error('The thread waits no longer.'))
  }

  /** The thread is gone: nothing waits for it any more, and its channels are in no group. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const controller of this.#waiting.values()) controller.abort(new Error('The thread has ended.'))
    const memberships = [...this.#memberships.values()]
    this.#memberships.clear()
    await Promise.allSettled(memberships.map((membership) => this.#discard(membership)))
  }

  async #discard([group, channel]: Membership): Promise<void> {
    await this.#channels?.groupDiscard(group, channel)
  }

  #ask(method: string, args: readonly unknown[]): Promise<unknown> {
    if (method === 'ready') return this.#ready()
    if (!clientMethods.has(method)) throw noSuch(method)
    const client = this.#client()
    return (Reflect.get(client, method) as Method).apply(client, [...args])
  }

  async #route(call: number, method: string, args: readonly unknown[]): Promise<unknown> {
    const channels = this.#channels
    if (channels === undefined || !channelMethods.has(method)) throw noSuch(method)
    if (method === 'receive') return this.#receive(channels, call, String(args[0]))
    const ask = (): Promise<unknown> => (Reflect.get(channels, method) as Method).apply(channels, [...args])
    if (method === 'groupAdd') return this.#join([String(args[0]), String(args[1])], ask)
    if (method === 'groupDiscard') return this.#leave([String(args[0]), String(args[1])], ask)
    return ask()
  }

  // Noted before it is one: the thread may end meanwhile, and of what has failed nobody knows what it has done.
  async #join(membership: Membership, join: () => Promise<unknown>): Promise<unknown> {
    this.#memberships.set(membership.join('\0'), membership)
    try {
      return await join()
    } finally {
      if (this.#isClosed) await this.#discard(membership)
    }
  }

  async #leave(membership: Membership, leave: () => Promise<unknown>): Promise<unknown> {
    const key = membership.join('\0')
    const noted = this.#memberships.get(key)
    const value = await leave()
    // It may have joined again meanwhile.
    if (this.#memberships.get(key) === noted) this.#memberships.delete(key)
    return value
  }

  async #receive(channels: ChannelLayer, call: number, channel: string): Promise<unknown> {
    const controller = new AbortController()
    this.#waiting.set(call, controller)
    try {
      return await channels.receive(channel, controller.signal)
    } finally {
      this.#waiting.delete(call)
    }
  }
}

function noSuch(method: string): MqttasgiError {
  return new MqttasgiError('ERR_NOT_ATTACHED', `A worker asked for ${method}(), which it has not.`)
}
