// The broker and the channels as a thread has them: asked for over the line, answered by the server's thread.
import type { ChannelLayer } from '../core/channel-layer.ts'
import { Deferred } from '../core/deferred.ts'
import type { PublishResult, SubscribeResult } from '../core/message.ts'
import { encodePayload } from '../core/payload.ts'
import type { Client } from '../core/receiver.ts'
import { ownBytes } from '../core/own-bytes.ts'
import { remoteChannels } from './remote-channels.ts'
import { errorOf, type WireError } from './wire-error.ts'
import type { FromThread, Line, ThreadCall } from './wire.ts'

/** The questions of one thread. */
export class Asking {
  readonly #line: Line<FromThread>
  readonly #open = new Map<number, Deferred<unknown>>()
  #calls = 0

  constructor(line: Line<FromThread>) {
    this.#line = line
  }

  /** What receivers publish and subscribe with. */
  readonly client: Client = {
    publish: async (topic, payload, options) => {
      // As bytes, for what has a toJSON() of its own would not cross.
      const bytes = encodePayload(payload, topic)
      return (await this.#ask('client', 'publish', [topic, new Uint8Array(bytes), options])) as PublishResult
    },
    subscribe: async (filter, options) =>
      (await this.#ask('client', 'subscribe', [filter, options])) as SubscribeResult,
    unsubscribe: async (filter) => void (await this.#ask('client', 'unsubscribe', [filter])),
  }

  /** Resolves when the broker has granted all that the server's receivers want. */
  readonly ready = async (): Promise<void> => void (await this.#ask('client', 'ready', []))

  /** The channel layer of the server, in which a channel stays in a group for so many seconds. */
  channels(groupExpiry: number): ChannelLayer {
    return remoteChannels(groupExpiry, (method, args, signal) =>
      signal === undefined ? this.#ask('channels', method, args) : this.#askUntil(signal, method, args),
    )
  }

  answered(call: number, value: unknown): void {
    this.#take(call)?.resolve(value)
  }

  refused(call: number, error: WireError): void {
    this.#take(call)?.reject(errorOf(error))
  }

  async #ask(target: ThreadCall['target'], method: string, args: readonly unknown[]): Promise<unknown> {
    return this.#begin(target, method, args).answer.promise
  }

  #begin(
    target: ThreadCall['target'],
    method: string,
    args: readonly unknown[],
  ): { readonly call: number; readonly answer: Deferred<unknown> } {
    const call = ++this.#calls
    const answer = new Deferred<unknown>()
    this.#line.post({ type: 'call', call, target, method, args: ownBytes(args) })
    this.#open.set(call, answer)
    return { call, answer }
  }

  // Taken back, it is still waited for: an event may be on its way, and must not be lost.
  async #askUntil(signal: AbortSignal, method: string, args: readonly unknown[]): Promise<unknown> {
    signal.throwIfAborted()
    const { answer, call } = this.#begin('channels', method, args)
    const cancel = (): void => this.#line.post({ type: 'cancel', call })
    signal.addEventListener('abort', cancel, { once: true })
    try {
      return await answer.promise
    } catch (error) {
      signal.throwIfAborted()
      throw error
    } finally {
      signal.removeEventListener('abort', cancel)
    }
  }

  #take(call: number): Deferred<unknown> | undefined {
    const answer = this.#open.get(call)
    this.#open.delete(call)
    return answer
  }
}
