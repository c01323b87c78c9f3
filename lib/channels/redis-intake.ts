// Those who wait for events in Redis: asks for one when somebody waits and it is said that there may be one.
import type { Backoff } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import { MqttasgiError } from '../core/errors.ts'
import { Pauses } from '../core/pauses.ts'
import { Lingering } from './lingering.ts'
import { Mailbox } from './mailbox.ts'

/** What asking takes. */
export interface RedisIntakeOptions {
  /** Resolves when it is heard from now on that the channel has an event. */
  readonly listen: (channel: string) => Promise<void>
  /** The oldest event, still with its end; undefined when there is none. */
  readonly take: (channel: string) => Promise<Buffer | undefined>
  /** Whoever it was taken for has gone. */
  readonly putBack: (channel: string, event: Buffer) => Promise<void>
  /** Nobody waits for the channel any more. */
  readonly idle: (channel: string) => void
  /** Asking has failed, and is tried again. */
  readonly failed: (error: Error) => void
  readonly after: Clock['after']
  readonly backoff: Backoff
}

/** How long after its last receive a channel is idle. */
export const LINGER_MS = 100

interface Place {
  readonly box: Mailbox
  /** There may be an event. */
  isRung: boolean
  /** Settles when nothing is asked for any more. */
  asking: Promise<void> | undefined
  /** Events that are on their way back. */
  returning: number
}

export class RedisIntake {
  readonly #options: RedisIntakeOptions
  readonly #places = new Map<string, Place>()
  readonly #pauses: Pauses
  readonly #lingering: Lingering
  #isClosed = false

  constructor(options: RedisIntakeOptions) {
    this.#options = options
    this.#pauses = new Pauses(options)
    this.#lingering = new Lingering(options.after, LINGER_MS, (channel) => {
      if (this.#places.get(channel)?.box.isAwaited !== true) options.idle(channel)
    })
  }

  async receive(channel: string, signal?: AbortSignal): Promise<Buffer> {
    signal?.throwIfAborted()
    this.#lingering.back(channel)
    let place = this.#places.get(channel)
    if (place === undefined) {
      const box = new Mailbox(Number.POSITIVE_INFINITY)
      place = { box, isRung: false, asking: undefined, returning: 0 }
      this.#places.set(channel, place)
    }
    const event = place.box.take(signal)
    this.#ring(channel, place)
    try {
      return await event
    } finally {
      this.#forget(channel, place)
    }
  }

  /** The channel may have an event. */
  rung(channel: string): void {
    const place = this.#places.get(channel)
    if (place?.box.isAwaited === true) this.#ring(channel, place)
    else this.#lingering.left(channel)
  }

  /** Every channel may have one. */
  rungAll(): void {
    for (const [channel, place] of this.#places) this.#ring(channel, place)
    this.#pauses.end()
  }

  /** Tells all who wait why nothing comes. Resolves when what was taken for them is back, or could not be put back. */
  async close(reason: Error): Promise<void> {
    this.#isClosed = true
    this.#lingering.close()
    for (const place of this.#places.values()) place.box.fail(reason)
    this.#pauses.end()
    await Promise.all([...this.#places].map(([channel, place]) => this.#empty(channel, place)))
  }

  /** How many events of each channel are out of Redis, and with nobody. */
  left(): readonly (readonly [channel: string, count: number])[] {
    return [...this.#places].map(([channel, { box, returning }]) => [channel, box.unread + returning])
  }

  #ring(channel: string, place: Place): void {
    place.isRung = true
    if (this.#isWanted(place)) place.asking ??= this.#ask(channel, place)
  }

  async #ask(channel: string, place: Place): Promise<void> {
    for (let tries = 0; place.isRung && this.#isWanted(place);) {
      try {
        await this.#options.listen(channel)
        if (!this.#isWanted(place)) break
        place.isRung = false
        const event = await this.#options.take(channel)
        if (event !== undefined) await this.#give(channel, place, event)
        tries = 0
      } catch (error) {
        // Nothing will change that as long as the process runs.
        if (error instanceof MqttasgiError && error.code === 'ERR_PEER_MISSING') place.box.fail(error)
        else if (!this.#isClosed) await this.#pause(error as Error, ++tries)
        place.isRung = true
      }
    }
    place.asking = undefined
    this.#forget(channel, place)
  }

  #isWanted({ box }: Place): boolean {
    return box.isAwaited && !this.#isClosed
  }

  async #give(channel: string, place: Place, event: Buffer): Promise<void> {
    // There may be more behind it.
    place.isRung = true
    if (place.box.isAwaited) place.box.offer(event, Number.POSITIVE_INFINITY)
    else await this.#putBack(channel, place, event)
  }

  // Where that fails too, it waits here for whoever receives next.
  async #putBack(channel: string, place: Place, event: Buffer): Promise<void> {
    place.returning++
    try {
      await this.#options.putBack(channel, event)
    } catch {
      place.box.offer(event, Number.POSITIVE_INFINITY)
    }
    place.returning--
  }

  async #empty(channel: string, place: Place): Promise<void> {
    await place.asking
    // Each is put in front of those that are there.
    for (const event of place.box.clear().toReversed()) await this.#putBack(channel, place, event)
    this.#forget(channel, place)
  }

  #pause(error: Error, tries: number): Promise<void> {
    const { backoff, failed } = this.#options
    failed(error)
    return this.#pauses.wait(backoff({ tries, elapsedMs: 0 }))
  }

  #forget(channel: string, place: Place): void {
    if (!place.box.isIdle || place.asking !== undefined || this.#places.get(channel) !== place) return
    this.#places.delete(channel)
    this.#lingering.left(channel)
  }
}
