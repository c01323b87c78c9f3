// One connection to the strict broker: bytes in and out, counted, and cut, split or swallowed as the script says.
import type { Socket } from 'node:net'
import { generate, type Packet } from 'mqtt-packet'
import type { NetworkFaults } from './faults.ts'
import { Frames, type Frame } from './frames.ts'
import type { Fault } from './violation.ts'

export interface LinkEvents {
  readonly received: (frame: Frame) => void
  readonly faulty: (fault: Fault) => void
  readonly gone: () => void
}

export class Link {
  readonly number: number
  version = 4
  /** Bytes that were read, and bytes that were written. */
  up = 0
  down = 0
  readonly #socket: Socket
  readonly #faults: NetworkFaults
  readonly #events: LinkEvents
  readonly #frames = new Frames()
  #over = false

  constructor(number: number, socket: Socket, faults: NetworkFaults, events: LinkEvents) {
    this.number = number
    this.#socket = socket
    this.#faults = faults
    this.#events = events
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', () => socket.destroy())
    // The client has half-closed: all of it was read.
    socket.on('end', () => this.end())
    socket.once('close', () => {
      this.#over = true
      events.gone()
    })
  }

  get over(): boolean {
    return this.#over
  }

  send(...packets: Packet[]): void {
    if (this.#over || this.#faults.silent || packets.length === 0) return
    this.#write(Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: this.version }))))
  }

  /** What was written arrives before the end does. */
  end(): void {
    this.#over = true
    this.#socket.destroySoon()
  }

  reset(): void {
    this.#over = true
    // Between end() and its FIN the kernel's reset is refused, and 'close' would never come.
    const isEnding = this.#socket.writableEnded && !this.#socket.writableFinished
    if (isEnding) this.#socket.destroy()
    else this.#socket.resetAndDestroy()
  }

  #read(chunk: Buffer): void {
    if (this.#over || this.#faults.silent) return
    const left = this.#left('up')
    const bytes = chunk.subarray(0, left)
    this.up += bytes.length
    for (const one of this.#frames.push(bytes)) {
      if (this.#over) return
      if ('type' in one) return this.#events.faulty(one)
      this.#events.received(one)
    }
    if (bytes.length === left) this.#cut()
  }

  #write(bytes: Buffer): void {
    const left = this.#left('down')
    const written = bytes.subarray(0, left)
    this.down += written.length
    if (this.#faults.chunked) for (const byte of written) this.#socket.write(Buffer.of(byte))
    else this.#socket.write(written)
    if (written.length === left) this.#cut()
  }

  /** How many bytes more may go this way. */
  #left(direction: 'up' | 'down'): number {
    const { cut } = this.#faults
    return cut?.direction === direction ? Math.max(0, cut.afterBytes - this[direction]) : Infinity
  }

  #cut(): void {
    this.#faults.cut = undefined
    this.end()
  }
}
