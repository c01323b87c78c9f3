// One direction of a proxied connection, and the faults it can have.
import type { Socket } from 'node:net'

/** `up` is what the client sends, `down` what the server sends. */
export type Direction = 'up' | 'down'

/** What happens to the bytes of one direction. */
export type Fault =
  | { readonly type: 'pass' }
  /** Written in pieces of this size, each in a turn of its own. */
  | { readonly type: 'chunk'; readonly bytes: number }
  /** Held back this long, in order. */
  | { readonly type: 'delay'; readonly ms: number }
  /** Dropped, and the end of the stream with them: a half-open link. */
  | { readonly type: 'swallow' }
  /**
   * Passed until this many bytes of a connection have gone this way, then the connection ends on both
   * sides: with RST when `reset`, else with FIN. `once`: only for the first connection that gets there.
   */
  | { readonly type: 'cut'; readonly afterBytes: number; readonly reset?: boolean; readonly once?: boolean }

export type Cut = Extract<Fault, { type: 'cut' }>

const highWater = 1_048_576

export interface LaneOptions {
  readonly from: Socket
  readonly to: Socket
  readonly fault: () => Fault
  readonly cut: (fault: Cut) => void
  readonly tell: (bytes: Buffer) => void
  readonly tellWhen: 'read' | 'written'
}

/** One direction of a link: what was read and not yet written, one piece at a time. */
export class Lane {
  readonly #options: LaneOptions
  readonly #queue: { readonly bytes: Buffer; readonly at: number }[] = []
  #queued = 0
  #passed = 0
  #ended = false
  #busy = false
  #wake: (() => void) | undefined

  constructor(options: LaneOptions) {
    this.#options = options
    const { from, to } = options
    from.on('data', (bytes: Buffer) => this.#read(bytes))
    for (const event of ['end', 'close']) {
      from.once(event, () => {
        this.#ended = true
        void this.#pump()
      })
    }
    to.once('close', () => this.#wake?.())
  }

  get dead(): boolean {
    return this.#options.fault().type === 'swallow'
  }

  /** A link that is whole again passes on the end of the stream that it swallowed, but not the bytes. */
  changed(): void {
    this.#wake?.()
    void this.#pump()
  }

  #read(bytes: Buffer): void {
    if (this.#options.tellWhen === 'read') this.#options.tell(bytes)
    this.#queue.push({ bytes, at: performance.now() })
    this.#queued += bytes.length
    if (this.#queued > highWater) this.#options.from.pause()
    void this.#pump()
  }

  async #pump(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    const { from, to } = this.#options
    while (this.#queue.length > 0) await this.#step()
    this.#busy = false
    if (!this.#ended || this.dead) return
    to.end(() => {
      if (from.destroyed) to.destroy()
    })
  }

  /** The fault is asked for anew at each piece, so that a change takes effect in the middle of a message. */
  async #step(): Promise<void> {
    const { to } = this.#options
    const nobody = to.destroyed || to.writableEnded
    const fault: Fault = nobody ? { type: 'swallow' } : this.#options.fault()
    switch (fault.type) {
      case 'swallow':
        this.#take(Infinity)
        return
      case 'chunk':
        await this.#write(this.#take(fault.bytes))
        await new Promise((resolve) => setImmediate(resolve))
        return
      case 'delay':
        await this.#delay(fault.ms)
        return
      case 'cut':
        await this.#cut(fault)
        return
      case 'pass':
        await this.#write(this.#take(Infinity))
    }
  }

  async #delay(ms: number): Promise<void> {
    const left = (this.#queue[0]?.at ?? 0) + ms - performance.now()
    if (left <= 0) return await this.#write(this.#take(Infinity))
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, left)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = undefined
  }

  async #cut(fault: Cut): Promise<void> {
    const left = Math.max(0, fault.afterBytes - this.#passed)
    if (left > 0) await this.#write(this.#take(left))
    if (this.#passed < fault.afterBytes) return
    this.#queue.length = 0
    this.#options.cut(fault)
  }

  /** The first bytes of the queue, at most one piece of it. */
  #take(most: number): Buffer {
    const first = this.#queue[0]
    if (first === undefined) return Buffer.alloc(0)
    const piece = first.bytes.subarray(0, Math.min(most, first.bytes.length))
    if (piece.length === first.bytes.length) this.#queue.shift()
    else this.#queue[0] = { bytes: first.bytes.subarray(piece.length), at: first.at }
    this.#queued -= piece.length
    const { from } = this.#options
    if (this.#queued <= highWater && from.isPaused()) from.resume()
    return piece
  }

  #write(piece: Buffer): Promise<void> {
    const { to, tell, tellWhen } = this.#options
    if (to.destroyed || to.writableEnded) return Promise.resolve()
    this.#passed += piece.length
    if (tellWhen === 'written') tell(piece)
    return new Promise((resolve) => to.write(piece, () => resolve()))
  }
}
