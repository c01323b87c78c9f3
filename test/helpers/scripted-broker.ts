// A broker that answers exactly what the test says, packet by packet, over any stream; and keeps all it was sent.
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { createServer, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import type { ExecutionContext } from 'ava'
import { generate, parser, type Packet } from 'mqtt-packet'
import { createWebSocketStream, WebSocketServer } from 'ws'

type Cmd = Packet['cmd']
type PacketOf<C extends Cmd> = Extract<Packet, { cmd: C }>

/** What to do at a packet, instead of what a broker would do. A number is how many have come on this connection. */
export type Script = { [C in Cmd]?: (link: ScriptedLink, packet: PacketOf<C>) => void }

/** One connection, from the broker's side. */
export class ScriptedLink {
  readonly stream: Duplex
  readonly packets: Packet[] = []
  /** Every byte the client has sent. */
  readonly chunks: Buffer[] = []
  /** The client has half-closed. */
  ended = false
  /** The client has closed, or half-closed, or the connection was broken off. */
  readonly gone: Promise<void>
  readonly #script: Script
  readonly #watchers = new Set<() => void>()
  readonly #taken = new Set<Packet>()
  #version = 4

  constructor(stream: Duplex, script: Script) {
    this.stream = stream
    this.#script = script
    const reader = parser()
    reader.on('packet', (packet) => this.#receive(packet))
    reader.on('error', () => stream.destroy())
    stream.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk)
      reader.parse(chunk)
    })
    stream.on('end', () => {
      this.ended = true
      this.#look()
    })
    stream.on('error', () => {})
    // Half-open as it is, a client that has read everything is gone with its end alone.
    this.gone = new Promise((resolve) => stream.once('end', resolve).once('close', resolve))
  }

  get version(): number {
    return this.#version
  }

  send(...packets: (Packet | Buffer)[]): void {
    const bytes = packets.map((packet) => (Buffer.isBuffer(packet) ? packet : this.encode(packet)))
    this.stream.write(Buffer.concat(bytes))
  }

  encode(packet: Packet): Buffer {
    return generate(packet, { protocolVersion: this.#version })
  }

  /** CONNACK, in the words of the client's version. */
  welcome(more: Partial<PacketOf<'connack'>> = {}): void {
    this.send({ cmd: 'connack', sessionPresent: false, returnCode: 0, reasonCode: 0, ...more })
  }

  deliver(topic: string, payload: string | Buffer, more: Partial<PacketOf<'publish'>> = {}): void {
    this.send(message(topic, payload, more))
  }

  all<C extends Cmd>(cmd: C): PacketOf<C>[] {
    return this.packets.filter((packet) => isA(packet, cmd))
  }

  /** The first packet of this kind that was not asked for before. */
  async next<C extends Cmd>(cmd: C): Promise<PacketOf<C>> {
    const found = await this.until(() => this.all(cmd).find((packet) => !this.#taken.has(packet)))
    this.#taken.add(found)
    return found
  }

  /** Resolves as soon as `look` finds something; asked at each packet. */
  until<T>(look: () => T | undefined): Promise<T> {
    return new Promise((resolve) => {
      const watch = (): void => {
        const found = look()
        if (found === undefined) return
        this.#watchers.delete(watch)
        resolve(found)
      }
      this.#watchers.add(watch)
      watch()
    })
  }

  /** The packet ids of the client's PUBACKs, in order. */
  acked(): number[] {
    return this.all('puback').map((packet) => packet.messageId ?? 0)
  }

  #receive(packet: Packet): void {
    if (packet.cmd === 'connect') this.#version = packet.protocolVersion ?? 4
    this.packets.push(packet)
    if (!this.#scripted(packet.cmd, packet)) this.answer(packet)
    this.#look()
  }

  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- it ties the script's entry to the packet
  #scripted<C extends Cmd>(cmd: C, packet: Packet): boolean {
    const act = this.#script[cmd]
    if (act === undefined || !isA(packet, cmd)) return false
    act(this, packet)
    return true
  }

  /** What a friendly broker says. */
  answer(packet: Packet): void {
    const messageId = packet.messageId ?? 0
    switch (packet.cmd) {
      case 'connect':
        return this.welcome()
      case 'subscribe':
        return this.send({ cmd: 'suback', messageId, granted: packet.subscriptions.map((one) => one.qos) })
      case 'unsubscribe':
        return this.send({ cmd: 'unsuback', messageId, granted: packet.unsubscriptions.map(() => 0) })
      case 'publish':
        if (packet.qos === 1) this.send({ cmd: 'puback', messageId, reasonCode: 0 })
        if (packet.qos === 2) this.send({ cmd: 'pubrec', messageId, reasonCode: 0 })
        return
      case 'pubrel':
        return this.send({ cmd: 'pubcomp', messageId, reasonCode: 0 })
      case 'pubrec':
        return this.send({ cmd: 'pubrel', messageId, reasonCode: 0 })
      case 'pingreq':
        return this.send({ cmd: 'pingresp' })
      case 'disconnect':
        this.stream.end()
        return
      default:
        return
    }
  }

  #look(): void {
    for (const watch of this.#watchers) watch()
  }
}

function isA<C extends Cmd>(packet: Packet, cmd: C): packet is PacketOf<C> {
  return packet.cmd === cmd
}

/** A PUBLISH to the client; QoS 0 unless told otherwise. */
export function message(
  topic: string,
  payload: string | Buffer,
  more: Partial<PacketOf<'publish'>> = {},
): PacketOf<'publish'> {
  return { cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false, ...more }
}

export type Listen =
  | { readonly over?: 'tcp' | 'websocket'; readonly tls?: TlsOptions }
  | { readonly over: 'unix'; readonly path: string }

/** A listening scripted broker. */
export interface ScriptedBroker {
  readonly port: number
  readonly links: readonly ScriptedLink[]
  /** The connection after those that were asked for before. */
  readonly link: () => Promise<ScriptedLink>
  readonly stop: () => Promise<void>
}

/** Listens on a free loopback port; ends with the test. */
export async function startScriptedBroker(
  t: ExecutionContext,
  script: Script = {},
  listen: Listen = {},
): Promise<ScriptedBroker> {
  const links: ScriptedLink[] = []
  const sockets = new Set<Socket>()
  const waiting: (() => void)[] = []
  const accept = (stream: Duplex): void => {
    links.push(new ScriptedLink(stream, script))
    for (const look of waiting.splice(0)) look()
  }
  const server = serverFor(listen, accept)
  server.on('connection', (socket: Socket) => {
    socket.setNoDelay(true)
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
  })
  if (listen.over === 'unix') server.listen(listen.path)
  else server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    if (!server.listening) return
    server.close()
    await once(server, 'close')
  }
  t.teardown(stop)
  const address = server.address()
  let asked = 0
  const link = async (): Promise<ScriptedLink> => {
    const index = asked++
    while (links[index] === undefined) await new Promise<void>((resolve) => waiting.push(resolve))
    return links[index]
  }
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return { port, links, link, stop }
}

function serverFor(listen: Listen, accept: (stream: Duplex) => void): Server {
  if (listen.over !== 'websocket') {
    const tls = listen.over === 'unix' ? undefined : listen.tls
    // Half-open, as a broker that writes on after the client's last byte would have it.
    if (tls === undefined) return createServer({ allowHalfOpen: true }, accept)
    return createTlsServer(tls, accept).on('tlsClientError', () => {})
  }
  const server = listen.tls === undefined ? createHttpServer() : createHttpsServer(listen.tls)
  const websockets = new WebSocketServer({ server, path: '/mqtt' })
  websockets.on('connection', (websocket) => accept(createWebSocketStream(websocket)))
  return server
}
