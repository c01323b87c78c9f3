// Events over MQTT that found no room: said in the process where they came, and told to the one that has sent them.
import type { ChannelCounters } from '../core/channel-layer.ts'
import { assertChannel } from '../core/channel-name.ts'
import type { Clock } from '../core/clock.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import { traceChannelLoss } from '../core/trace.ts'
import { channelsFull } from './limits.ts'

/** How many events found no room in a channel. A name may be any, so it is no key of an object. */
export type Loss = readonly [channel: string, count: number]

export interface MqttLossesParts {
  /** The name of the layer. */
  readonly layer: string
  readonly capacity: number
  /** By then a full channel is another full channel: what was in it has gone. */
  readonly expiryMs: number
  readonly clock: Pick<Clock, 'now'>
  readonly counters: ChannelCounters
  readonly log: Logger
  /** Tells a process how many of its events found no room, by channel. */
  readonly tell: (client: string, lost: readonly Loss[]) => Promise<unknown>
}

const MOST_SAID = 100
const MOST_CHANNELS = 1_000

/** A sender does not wait for it: the event may have to wait for long where it comes, for handlers that hold the window. */
export class MqttLosses {
  readonly #parts: MqttLossesParts
  // When it was said of which channel.
  readonly #said = new Map<string, number>()
  // By the process that is being told, what has been lost of it since.
  readonly #telling = new Map<string, Map<string, number>>()

  constructor(parts: MqttLossesParts) {
    this.#parts = parts
  }

  /** An event of `sender`, or of this process where it is undefined, has found no room here in this channel, and was counted. */
  here(sender: string | undefined, channel: string): void {
    this.#say(channel, 'An event that came was lost.', this.#parts.capacity)
    if (sender === undefined) return
    const under = this.#telling.get(sender)
    if (under !== undefined) return void under.set(channel, (under.get(channel) ?? 0) + 1)
    void this.#tell(sender, new Map([[channel, 1]]))
  }

  /** There is room in this channel. */
  room(channel: string): void {
    this.#said.delete(channel)
  }

  /** What another process says of events of ours. Throws `ERR_CHANNEL_EVENT` for what says nothing. */
  told(lost: unknown): void {
    const { counters, layer } = this.#parts
    for (const [channel, count] of lostOf(lost)) {
      counters.full += count
      traceChannelLoss({ layer, channel, reason: 'full', count })
      this.#say(channel, 'An event was lost in the process that receives from there.', undefined)
    }
  }

  // Whoever sends without end is told at his pace, and not once for each.
  async #tell(sender: string, first: ReadonlyMap<string, number>): Promise<void> {
    for (let lost = first; lost.size > 0;) {
      const all = [...lost]
      const next = new Map(all.slice(MOST_CHANNELS))
      this.#telling.set(sender, next)
      // Where it can not be told it is counted here all the same.
      await this.#parts.tell(sender, all.slice(0, MOST_CHANNELS)).catch(() => {})
      lost = next
    }
    this.#telling.delete(sender)
  }

  #say(channel: string, what: string, capacity: number | undefined): void {
    const { clock, expiryMs, log } = this.#parts
    const now = clock.now()
    // The oldest is the first.
    for (const [name, at] of this.#said) if (now - at >= expiryMs) this.#said.delete(name)
    if (this.#said.has(channel) || this.#said.size >= MOST_SAID) return
    this.#said.set(channel, now)
    const error = channelsFull([channel], capacity)
    const more = `Further ones are counted, and not told for ${expiryMs / 1_000} s, or until there is room.`
    log.error(`${what} ${error.message} ${more}`, { error })
  }
}

function lostOf(lost: unknown): readonly Loss[] {
  if (!Array.isArray(lost) || lost.length > MOST_CHANNELS) throw saysNothing()
  return lost.map((loss: unknown) => {
    if (!Array.isArray(loss)) throw saysNothing()
    const [channel, count] = loss as readonly unknown[]
    if (typeof channel !== 'string' || typeof count !== 'number') throw saysNothing()
    assertChannel(channel)
    if (!Number.isSafeInteger(count) || count < 1) throw saysNothing()
    return [channel, count]
  })
}

function saysNothing(): MqttasgiError {
  return new MqttasgiError('ERR_CHANNEL_EVENT', 'What came says of no event that it was lost.')
}
