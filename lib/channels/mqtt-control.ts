// What processes say to each other: that a channel be put into a group, or taken out of it, and which events found no room.
import { decodeEvent, encodeEvent } from '../core/channel-event.ts'
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import { SeenEvents, type Envelope } from './mqtt-envelope.ts'
import type { Loss } from './mqtt-losses.ts'

/** What another process may ask this one for. */
export type GroupChange = 'group.add' | 'group.discard'

export interface MqttControlParts {
  /**
   * Publishes to a process, so that it waits for no place there where that is possible; resolves with false when it is
   * known that nobody hears it.
   */
  readonly ask: (client: string, bytes: Buffer) => Promise<boolean>
  /** Publishes to a process. */
  readonly tell: (client: string, bytes: Buffer) => Promise<boolean>
  /** The same with QoS 0: no place in a window is to be waited for, as those may all have it who wait for the answer. */
  readonly answer: (client: string, bytes: Buffer) => Promise<boolean>
  /** Does what was asked for. Rejects with why not. */
  readonly change: (change: GroupChange, group: string, channel: string) => Promise<void>
  /** Hears how many events of this process found no room in another, by channel. Throws for what says nothing. */
  readonly lost: (lost: unknown) => void
}

export class MqttControl {
  readonly #parts: MqttControlParts
  readonly #open = new Map<number, Deferred>()
  readonly #answered = new SeenEvents()
  #asked = 0

  constructor(parts: MqttControlParts) {
    this.#parts = parts
  }

  /** Resolves when the other process has done it. The caller limits the time, and calls `forget` in the end. */
  ask(
    client: string,
    change: GroupChange,
    group: string,
    channel: string,
  ): { done: Promise<void>; forget: () => void } {
    const number = ++this.#asked
    const answer = new Deferred()
    this.#open.set(number, answer)
    const done = this.#ask(client, encodeEvent({ type: change, group, channel, number }), answer)
    return { done, forget: () => void this.#open.delete(number) }
  }

  /** Something was asked that is not answered yet. */
  get isAsking(): boolean {
    return this.#open.size > 0
  }

  /** Tells a process how many of its events found no room here, by channel. */
  async tellLost(client: string, lost: readonly Loss[]): Promise<void> {
    await this.#parts.tell(client, encodeEvent({ type: 'lost', lost }))
  }

  /** Throws `ERR_CHANNEL_EVENT` for what is neither a question nor an answer. */
  came({ sender, bytes }: Envelope): void {
    const { type, number, group, channel, error, lost } = decodeEvent(bytes)
    if (type === 'lost') return this.#parts.lost(lost)
    if (typeof number !== 'number') throw unknown()
    if (type === 'answer') {
      const answer = this.#open.get(number)
      if (typeof error === 'string') answer?.reject(new MqttasgiError('ERR_CHANNEL_LAYER', error))
      else answer?.resolve()
      return
    }
    const isChange = type === 'group.add' || type === 'group.discard'
    if (!isChange || typeof group !== 'string' || typeof channel !== 'string') throw unknown()
    // It comes twice, and the second time may be long after.
    if (!this.#answered.isNew({ sender, number: `${number}` })) return
    void this.#answer(sender, number, this.#parts.change(type, group, channel))
  }

  async #ask(client: string, bytes: Buffer, answer: Deferred): Promise<void> {
    const heard = this.#parts.ask(client, bytes).then((isHeard) => {
      if (isHeard) return answer.promise
      const message = `The process "${client}", which the channel belongs to, is not there any more.`
      throw new MqttasgiError('ERR_CHANNEL_LAYER', message)
    })
    // The answer may be there before the broker has confirmed the question.
    await Promise.race([answer.promise, heard])
  }

  async #answer(client: string, number: number, work: Promise<void>): Promise<void> {
    const error = await work.then(
      () => undefined,
      (thrown: unknown) => toError(thrown).message,
    )
    // Whoever has asked is told after his time that there was no answer.
    await this.#parts.answer(client, encodeEvent({ type: 'answer', number, error })).catch(() => {})
  }
}

function unknown(): MqttasgiError {
  return new MqttasgiError('ERR_CHANNEL_EVENT', 'What came is nothing that processes ask each other for.')
}
