// A proxy on loopback that does to a connection what bad networks do, as a test tells it to. Also before TLS and unix sockets.
import { connect, createServer, type Server, type Socket } from 'node:net'
import {
  connect as connectTls,
  createServer as createTlsServer,
  TLSSocket,
  type ConnectionOptions,
  type TlsOptions,
} from 'node:tls'
import { Lane, type Cut, type Direction, type Fault } from './fault-lane.ts'

export type { Direction, Fault } from './fault-lane.ts'

/** Told of each connection and of what really reached, or left, the client. */
export interface Tap {
  open?(connection: number): void
  bytes?(connection: number, direction: Direction, bytes: Buffer): void
  close?(connection: number): void
}

export interface FaultProxyOptions {
  /** The port of the real server on 127.0.0.1, or the path of its unix socket. */
  readonly target: number | string
  /** Where a unix socket is made to listen on, instead of a port. */
  readonly path?: string
  /** It ends TLS and begins it again, and so knows what is said: as what server, and as what client. */
  readonly tls?: { readonly server: TlsOptions; readonly client: ConnectionOptions }
  readonly tap?: Tap
}

/** A running proxy. All may be changed while connections are up. */
export interface FaultProxy {
  readonly port: number
  readonly url: string
  /** Accepted since the start. */
  readonly connections: number
  /** Up now. */
  readonly open: number
  /** For the connections that are up and all later ones. */
  set(direction: Direction | 'both', fault: Fault): void
  /** RST to both sides of every connection that is up; where there is none, as on a unix socket, it just ends. */
  reset(): void
  /** Ends every connection that is up, on both sides; what was read already is written before. */
  cut(): void
  /** Nobody listens any more: connecting is refused. What is up stays up. */
  refuse(): Promise<void>
  /** Listens again, on the same port. */
  accept(): Promise<void>
  close(): Promise<void>
}

export async function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  const proxy = new Proxy(options)
  await proxy.accept()
  return proxy
}

class Proxy implements FaultProxy {
  readonly #options: FaultProxyOptions
  readonly #tap: Tap
  readonly #faults: Record<Direction, Fault> = { up: { type: 'pass' }, down: { type: 'pass' } }
  readonly #links = new Set<Link>()
  #server: Server | undefined
  #port = 0
  #connections = 0

  constructor(options: FaultProxyOptions) {
    this.#options = options
    this.#tap = options.tap ?? {}
  }

  get port(): number {
    return this.#port
  }

  get url(): string {
    const { path, tls } = this.#options
    if (path !== undefined) return `unix://${path}`
    return tls === undefined ? `mqtt://127.0.0.1:${this.#port}` : `mqtts://localhost:${this.#port}`
  }

  get connections(): number {
    return this.#connections
  }

  get open(): number {
    return this.#links.size
  }

  set(direction: Direction | 'both', fault: Fault): void {
    if (direction !== 'down') this.#faults.up = fault
    if (direction !== 'up') this.#faults.down = fault
    for (const link of this.#links) link.changed()
  }

  reset(): void {
    for (const link of this.#links) link.reset()
  }

  cut(): void {
    for (const link of this.#links) link.end()
  }

  refuse(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    // Does not wait for the server's own 'close', which comes only when the last connection has gone.
    server?.close()
    return Promise.resolve()
  }

  accept(): Promise<void> {
    if (this.#server !== undefined) return Promise.resolve()
    // Half-open, because each direction ends for itself: whoever half-closes must still be able to read.
    const { path, tls } = this.#options
    const settings = { noDelay: true, allowHalfOpen: true, ...tls?.server }
    const create: (greet: (client: Socket) => void) => Server =
      tls === undefined
        ? (greet) => createServer(settings, greet)
        : (greet) => createTlsServer(settings, greet)
    const server = create((client) => this.#connected(client))
    // Whoever breaks off a handshake has said nothing yet.
    server.on('tlsClientError', () => {})
    this.#server = server
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(path === undefined ? { port: this.#port, host: '127.0.0.1' } : { path }, () => {
        const address = server.address()
        if (address !== null && typeof address === 'object') this.#port = address.port
        resolve()
      })
    })
  }

  async close(): Promise<void> {
    await this.refuse()
    const links = [...this.#links].map((link) => link.closed)
    this.reset()
    await Promise.all(links)
  }

  #dial(): Socket {
    const { target, tls } = this.#options
    if (typeof target === 'string') return connect({ path: target, allowHalfOpen: true })
    const settings = { port: target, host: '127.0.0.1', noDelay: true, allowHalfOpen: true }
    return tls === undefined ? connect(settings) : connectTls({ ...settings, ...tls.client })
  }

  #connected(client: Socket): void {
    const number = ++this.#connections
    const server = this.#dial()
    const link = new Link(number, client, server, this.#tap, {
      fault: (direction) => this.#faults[direction],
      wasCut: (direction, fault) => {
        if (fault.once === true && this.#faults[direction] === fault) this.set(direction, { type: 'pass' })
      },
    })
    this.#links.add(link)
    this.#tap.open?.(number)
    void link.closed.then(() => {
      this.#links.delete(link)
      this.#tap.close?.(number)
    })
  }
}

interface Faults {
  fault(direction: Direction): Fault
  wasCut(direction: Direction, fault: Cut): void
}

/** One client and its connection to the server. */
class Link {
  /** Resolves when both sockets have gone. */
  readonly closed: Promise<void>
  readonly #client: Socket
  readonly #server: Socket
  readonly #up: Lane
  readonly #down: Lane

  constructor(number: number, client: Socket, server: Socket, tap: Tap, faults: Faults) {
    this.#client = client
    this.#server = server
    const lane = (direction: Direction, from: Socket, to: Socket): Lane =>
      new Lane({
        from,
        to,
        fault: () => faults.fault(direction),
        cut: (fault) => {
          faults.wasCut(direction, fault)
          if (fault.reset === true) this.reset()
          else this.end()
        },
        tell: (bytes) => tap.bytes?.(number, direction, bytes),
        // The client's bytes are told when they come in and the server's when they go out: the log then
        // says what the client did and what it can have known, whatever was lost on the way.
        tellWhen: direction === 'up' ? 'read' : 'written',
      })
    this.#up = lane('up', client, server)
    this.#down = lane('down', server, client)
    this.closed = Promise.all([gone(client), gone(server)]).then(() => undefined)
    for (const socket of [client, server]) socket.on('error', () => this.#failed(socket))
  }

  changed(): void {
    this.#up.changed()
    this.#down.changed()
  }

  reset(): void {
    for (const socket of [this.#client, this.#server]) {
      // Between end() and its FIN the kernel's reset is refused, and 'close' would never come.
      const isEnding = socket.writableEnded && !socket.writableFinished
      if (socket.connecting || isEnding || !hasReset(socket)) socket.destroy()
      else socket.resetAndDestroy()
    }
  }

  end(): void {
    for (const socket of [this.#client, this.#server]) socket.end(() => socket.destroy())
  }

  /** RST on one side is RST on the other, unless that direction is a dead link. */
  #failed(socket: Socket): void {
    const lane = socket === this.#client ? this.#up : this.#down
    if (!lane.dead) this.reset()
  }
}

/** RST is TCP's own: a unix socket has none, and behind TLS Node does not reach it. */
function hasReset(socket: Socket): boolean {
  return !(socket instanceof TLSSocket) && socket.remoteFamily !== undefined
}

function gone(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()))
}
