// A broker that does nothing but send: pre-encoded PUBLISH as fast as the socket takes them, in a process of its own.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { generate, parser, type ISubscribePacket, type Packet } from 'mqtt-packet'

/** What is sent, and how much of it. */
export interface Blast {
  readonly count: number
  readonly qos: 0 | 1
  /** Bytes of payload; 20 unless told otherwise. */
  readonly payloadBytes?: number
  /** `sensors/room-0/temp` to `sensors/room-<topics - 1>/temp`, in turn; 100 unless told otherwise. */
  readonly topics?: number
  /** MQTT 5 only: the Subscription Identifier property of each message. */
  readonly subscriptionIdentifier?: number
  /** QoS 1: how many may be unacknowledged. At most 60,000, because packet ids are 16 bits. */
  readonly window?: number
}

/** How a blast went, as the broker saw it. */
export interface BlastResult {
  readonly sent: number
  readonly acknowledged: number
  /** From the first write until all was written and, at QoS 1, acknowledged. */
  readonly ms: number
  readonly bytes: number
}

/** The broker as seen from the benchmark. One client at a time: a blast goes to the latest. */
export interface FakeBroker {
  readonly port: number
  readonly url: string
  readonly pid: number | undefined
  /** Resolves when the latest client has subscribed to something, which it may have done before. */
  subscribed(): Promise<void>
  /** Resolves when all was sent and, at QoS 1, acknowledged; rejects when the client goes away before. */
  blast(blast: Blast): Promise<BlastResult>
  close(): Promise<void>
}

type Order = { readonly type: 'blast'; readonly blast: Blast } | { readonly type: 'subscribed' }

type Report =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'subscribed' }
  | { readonly type: 'done'; readonly result: BlastResult }
  | { readonly type: 'failed'; readonly message: string }

/** Starts the child process and resolves when it listens on a free loopback port. */
export async function startFakeBroker(): Promise<FakeBroker> {
  const child = fork(fileURLToPath(import.meta.url), ['--fake-broker'], {
    execArgv: import.meta.url.endsWith('.ts') ? ['--import=tsx'] : [],
  })
  const { port } = await report(child, 'listening')
  const order = (message: Order): void => void child.send(message)
  return {
    port,
    url: `mqtt://127.0.0.1:${port}`,
    pid: child.pid,
    subscribed: async () => {
      order({ type: 'subscribed' })
      await report(child, 'subscribed')
    },
    blast: async (blast) => {
      order({ type: 'blast', blast })
      return (await report(child, 'done')).result
    },
    close: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.disconnect()
      await gone
    },
  }
}

function report<T extends Report['type']>(
  child: ChildProcess,
  type: T,
): Promise<Report & { readonly type: T }> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: Report): void => {
      if (message.type !== type && message.type !== 'failed') return
      child.off('message', onMessage).off('exit', onExit)
      if (message.type === 'failed') reject(new Error(message.message))
      else resolve(message as Report & { readonly type: T })
    }
    const onExit = (): void => reject(new Error('The fake broker has ended.'))
    child.on('message', onMessage).once('exit', onExit)
  })
}

/** Messages ready to be written: `frames` is cut at `offsets[i]`, and frame i has packet id i + 1. */
interface Ring {
  readonly frames: Buffer
  readonly offsets: Uint32Array
}

const ids = 65_535

const rings = new Map<string, Ring>()

/** The ring for such messages: made once, for it takes half a second. */
function ringFor(blast: Blast, protocolVersion: 4 | 5): Ring {
  const { qos, payloadBytes, topics, subscriptionIdentifier } = blast
  const name = JSON.stringify([protocolVersion, qos, payloadBytes, topics, subscriptionIdentifier])
  const ring = rings.get(name) ?? encode(blast, protocolVersion)
  rings.set(name, ring)
  return ring
}

/** One frame for each packet id, so that nothing is encoded while the clock runs. */
function encode(blast: Blast, protocolVersion: 4 | 5): Ring {
  const { qos, payloadBytes = 20, topics = 100, subscriptionIdentifier } = blast
  const payload = Buffer.alloc(payloadBytes, '{"celsius": 21.5}   ')
  const properties =
    protocolVersion === 5 && subscriptionIdentifier !== undefined
      ? { properties: { subscriptionIdentifier } }
      : {}
  const offsets = new Uint32Array(ids + 1)
  const frames: Buffer[] = []
  for (let i = 0; i < ids; i++) {
    const frame = generate(
      {
        cmd: 'publish',
        topic: `sensors/room-${i % topics}/temp`,
        payload,
        qos,
        dup: false,
        retain: false,
        ...(qos === 1 && { messageId: i + 1 }),
        ...properties,
      },
      { protocolVersion },
    )
    frames.push(frame)
    offsets[i + 1] = (offsets[i] ?? 0) + frame.length
  }
  return { frames: Buffer.concat(frames), offsets }
}

/** Frames in one write: some hundred kilobytes, so that system calls do not count. */
const framesPerWrite = 4_096

/** The only client that matters, and what was sent to it. */
class Connection {
  readonly #socket: Socket
  readonly #parser = parser({ protocolVersion: 4 })
  readonly #subscribed: Promise<void>
  #markSubscribed: () => void = () => undefined
  #version: 4 | 5 = 4
  #acknowledged = 0
  #onAcknowledged: () => void = () => undefined
  #next = 0
  #rest: Buffer | undefined

  constructor(socket: Socket) {
    this.#socket = socket
    this.#subscribed = new Promise((resolve) => (this.#markSubscribed = resolve))
    this.#parser.on('packet', (packet) => this.#packet(packet))
    this.#parser.on('error', () => socket.destroy())
    socket.on('data', (bytes: Buffer) => this.#bytes(bytes))
    socket.on('error', () => undefined)
  }

  get subscribed(): Promise<void> {
    return this.#subscribed
  }

  async blast(blast: Blast): Promise<BlastResult> {
    const { frames, offsets } = ringFor(blast, this.#version)
    const window = blast.qos === 1 ? Math.min(blast.window ?? 20_000, 60_000) : Infinity
    this.#acknowledged = 0
    // QoS 1 goes on where the last blast ended: an id may be used again as late as possible.
    let next = blast.qos === 1 ? this.#next : 0
    let sent = 0
    let bytes = 0
    const begin = performance.now()
    while (sent < blast.count) {
      const room = window - (sent - this.#acknowledged)
      const count = Math.min(room, blast.count - sent, framesPerWrite, ids - next)
      if (count <= 0) {
        await this.#acknowledgement()
        continue
      }
      const piece = frames.subarray(offsets[next], offsets[next + count])
      next = (next + count) % ids
      sent += count
      bytes += piece.length
      if (!this.#socket.write(piece)) await this.#drained()
    }
    this.#next = next
    while (blast.qos === 1 && this.#acknowledged < sent) await this.#acknowledgement()
    return { sent, acknowledged: this.#acknowledged, ms: performance.now() - begin, bytes }
  }

  #acknowledgement(): Promise<void> {
    return this.#orClosed((resolve) => (this.#onAcknowledged = resolve))
  }

  #drained(): Promise<void> {
    return this.#orClosed((resolve) => this.#socket.once('drain', resolve))
  }

  #orClosed(wait: (resolve: () => void) => void): Promise<void> {
    const socket = this.#socket
    if (socket.destroyed) return Promise.reject(new Error('The client has gone.'))
    return new Promise((resolve, reject) => {
      const onClose = (): void => reject(new Error('The client has gone.'))
      socket.once('close', onClose)
      wait(() => {
        socket.off('close', onClose)
        resolve()
      })
    })
  }

  /** Counts the short PUBACKs, which are nearly all that comes; the rest is for mqtt-packet. */
  #bytes(bytes: Buffer): void {
    const all = this.#rest === undefined ? bytes : Buffer.concat([this.#rest, bytes])
    this.#rest = undefined
    let position = 0
    let counted = 0
    while (position < all.length) {
      const end = frameEnd(all, position)
      if (end > all.length) {
        this.#rest = all.subarray(position)
        break
      }
      if (all[position] === 0x40) counted++
      else this.#parser.parse(all.subarray(position, end))
      position = end
    }
    if (counted === 0) return
    this.#acknowledged += counted
    const tell = this.#onAcknowledged
    this.#onAcknowledged = () => undefined
    tell()
  }

  #packet(packet: Packet): void {
    if (packet.cmd === 'connect') this.#connect(packet.protocolVersion === 5 ? 5 : 4)
    if (packet.cmd === 'subscribe') this.#subscribe(packet)
    if (packet.cmd === 'unsubscribe') {
      const granted = packet.unsubscriptions.map(() => 0)
      this.#send({ cmd: 'unsuback', messageId: packet.messageId ?? 0, granted })
    }
    if (packet.cmd === 'publish' && packet.qos === 1) {
      this.#send({ cmd: 'puback', messageId: packet.messageId ?? 0, reasonCode: 0 })
    }
    if (packet.cmd === 'pingreq') this.#send({ cmd: 'pingresp' })
    if (packet.cmd === 'disconnect') this.#socket.end()
  }

  #connect(version: 4 | 5): void {
    this.#version = version
    this.#send({ cmd: 'connack', sessionPresent: false, returnCode: 0, reasonCode: 0 })
  }

  #subscribe(packet: ISubscribePacket): void {
    const granted = packet.subscriptions.map(({ qos }) => Math.min(qos, 1))
    this.#send({ cmd: 'suback', messageId: packet.messageId ?? 0, granted })
    this.#markSubscribed()
  }

  #send(packet: Packet): void {
    this.#socket.write(generate(packet, { protocolVersion: this.#version }))
  }
}

/** Where the frame that begins at `start` ends (2.1.4); beyond `bytes` when it is not all there. */
function frameEnd(bytes: Buffer, start: number): number {
  let length = 0
  for (let i = 0; i < 4; i++) {
    const byte = bytes[start + 1 + i]
    if (byte === undefined) return Infinity
    length += (byte & 0x7f) * 128 ** i
    if (byte < 0x80) return start + 2 + i + length
  }
  throw new Error('A remaining length of more than four bytes.')
}

/** The child's side: obeys orders until the parent lets go of it. */
function serve(): void {
  const tell = (message: Report): void => void process.send?.(message)
  let latest: Connection | undefined
  let arrived: (() => void) | undefined
  const server = createServer({ noDelay: true }, (socket) => {
    latest = new Connection(socket)
    arrived?.()
  })
  const subscribed = async (): Promise<void> => {
    if (latest === undefined) await new Promise<void>((resolve) => (arrived = resolve))
    await latest?.subscribed
    tell({ type: 'subscribed' })
  }
  const blast = async (order: Blast): Promise<void> => {
    if (latest === undefined) throw new Error('There is no client to send to.')
    await latest.subscribed
    tell({ type: 'done', result: await latest.blast(order) })
  }
  process.on('message', (order: Order) => {
    const done = order.type === 'blast' ? blast(order.blast) : subscribed()
    done.catch((error: unknown) => tell({ type: 'failed', message: String(error) }))
  })
  process.once('disconnect', () => process.exit(0))
  server.listen(0, '127.0.0.1', () => {
    const address = server.address()
    if (address !== null && typeof address === 'object') tell({ type: 'listening', port: address.port })
  })
}

if (process.argv[2] === '--fake-broker' && process.send !== undefined) serve()
