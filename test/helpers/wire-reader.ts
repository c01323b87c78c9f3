// Makes packets of what passes in any number of connections, in whatever pieces it comes, and keeps none of them.
import { parser, type Packet, type Parser } from 'mqtt-packet'
import type { Direction, Tap } from './fault-proxy.ts'
import { WebSocketContent } from './websocket-content.ts'

/** What can be seen of a connection from outside. */
export type Passed =
  | { readonly type: 'open'; readonly connection: number }
  | { readonly type: 'close'; readonly connection: number }
  | {
      readonly type: 'packet'
      readonly connection: number
      readonly direction: Direction
      readonly packet: Packet
    }
  /** Bytes that are not MQTT. Nothing of that direction is parsed afterwards. */
  | {
      readonly type: 'malformed'
      readonly connection: number
      readonly direction: Direction
      readonly message: string
    }

/** How the packets are wrapped: in nothing, or in the frames of a websocket. */
export type Wrapping = 'none' | 'websocket'

/** One end of one connection. */
interface Side {
  readonly content: WebSocketContent | undefined
  /** Begun with the first byte of a packet. */
  parser: Parser | undefined
  broken: boolean
}

/** Fed by a proxy, or by hand. */
export class WireReader implements Tap {
  readonly #tell: (passed: Passed) => void
  readonly #wrapping: Wrapping
  readonly #sides = new Map<string, Side>()
  /** Of each connection that is up, as its CONNECT asked for it. */
  readonly #versions = new Map<number, number>()

  constructor(tell: (passed: Passed) => void, wrapping: Wrapping = 'none') {
    this.#tell = tell
    this.#wrapping = wrapping
  }

  open(connection: number): void {
    this.#tell({ type: 'open', connection })
  }

  close(connection: number): void {
    for (const direction of ['up', 'down']) this.#sides.delete(`${connection} ${direction}`)
    this.#versions.delete(connection)
    this.#tell({ type: 'close', connection })
  }

  /** Bytes as they passed; a packet may come in any number of pieces. */
  bytes(connection: number, direction: Direction, bytes: Buffer): void {
    const name = `${connection} ${direction}`
    const side = this.#sides.get(name) ?? this.#newSide()
    this.#sides.set(name, side)
    const pieces = side.content === undefined ? [bytes] : side.content.of(bytes)
    for (const piece of pieces) {
      // mqtt-packet reads nothing more after an error and keeps the bytes: they would be missed in silence.
      if (side.broken) return
      side.parser ??= this.#parser(connection, direction, side)
      side.parser.parse(piece)
    }
  }

  #newSide(): Side {
    const content = this.#wrapping === 'websocket' ? new WebSocketContent() : undefined
    return { content, parser: undefined, broken: false }
  }

  #parser(connection: number, direction: Direction, side: Side): Parser {
    // The server's packets are read in the version that the client's CONNECT asked for.
    const reader = parser({ protocolVersion: this.#versions.get(connection) ?? 4 })
    reader.on('packet', (packet) => {
      if (packet.cmd === 'connect') this.#versions.set(connection, packet.protocolVersion ?? 4)
      this.#tell({ type: 'packet', connection, direction, packet })
    })
    reader.on('error', (error: Error) => {
      side.broken = true
      this.#tell({ type: 'malformed', connection, direction, message: error.message })
    })
    return reader
  }
}
