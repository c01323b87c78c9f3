// The groups of one channel: joined, joined again before that lapses, and left together.
import type { ChannelLayer } from './channel-layer.ts'
import type { Clock } from './clock.ts'
import { toError } from './errors.ts'
import type { Logger } from './log.ts'

/** What they work with. */
export interface ChannelGroupsParts {
  readonly layer: Pick<ChannelLayer, 'groupAdd' | 'groupDiscard' | 'groupExpiry'>
  readonly channel: string
  readonly log: Logger
  readonly clock: Pick<Clock, 'after'>
}

/** How long until groups that could not be joined are tried again. */
export const JOIN_AGAIN_MS = 5_000

export class ChannelGroups {
  readonly #parts: ChannelGroupsParts
  readonly #joined = new Set<string>()
  #cancel: (() => void) | undefined = undefined
  #isOver = false

  constructor(parts: ChannelGroupsParts) {
    this.#parts = parts
  }

  /** Rejects with what the layer says. */
  async add(group: string): Promise<void> {
    const { channel, layer } = this.#parts
    await layer.groupAdd(group, channel)
    this.#joined.add(group)
    // It has ended meanwhile, and nobody would take it out again.
    if (this.#isOver) await this.leave()
    else if (this.#cancel === undefined) this.#later(this.#halfMs)
  }

  async discard(group: string): Promise<void> {
    const { channel, layer } = this.#parts
    this.#joined.delete(group)
    await layer.groupDiscard(group, channel)
  }

  /** Leaves all groups. Never rejects. */
  async leave(): Promise<void> {
    this.stop()
    const { channel, layer, log } = this.#parts
    const left = [...this.#joined].map((group) => layer.groupDiscard(group, channel))
    this.#joined.clear()
    for (const result of await Promise.allSettled(left)) {
      if (result.status === 'fulfilled') continue
      log.warn(`A group still holds a channel that nobody receives from: ${toError(result.reason).message}`)
    }
  }

  /** Joins nothing again. */
  stop(): void {
    this.#isOver = true
    this.#cancel?.()
  }

  get #halfMs(): number {
    return (this.#parts.layer.groupExpiry * 1_000) / 2
  }

  #later(ms: number): void {
    this.#cancel = this.#parts.clock.after(ms, () => void this.#joinAgain())
  }

  // A channel leaves a group when it is not added again in time.
  async #joinAgain(): Promise<void> {
    const { channel, layer, log } = this.#parts
    let next = this.#halfMs
    try {
      for (const group of this.#joined) await layer.groupAdd(group, channel)
    } catch (error) {
      log.warn(`A group can not be joined again, which is tried again: ${toError(error).message}`)
      next = JOIN_AGAIN_MS
    }
    if (!this.#isOver) this.#later(next)
  }
}
