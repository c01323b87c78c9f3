// A client as the strict broker sees it, on one connection: its packets are held against the rules and answered.
import type { IConnackPacket, IConnectPacket, IPublishPacket, ISubscribePacket, Packet } from 'mqtt-packet'
import type { StrictFaults } from './faults.ts'
import type { Frame } from './frames.ts'
import type { Link, LinkEvents } from './link.ts'
import type { AckCmd, InFlight, Outgoing, Session } from './session.ts'
import type { Publication } from './subscriptions.ts'
import { fault, type Fault, type Violation } from './violation.ts'
import { wordFault, type Limits } from './words.ts'

type Requested = ISubscribePacket['subscriptions'][number]

/** What is between clients. */
export interface Switchboard {
  open(
    client: Client,
    clientId: string,
    clean: boolean,
  ): { readonly session: Session; readonly isPresent: boolean }
  /** To how many it goes. */
  publish(publication: Publication, from: string): number
  /** The retained messages that it brings. */
  subscribe(from: string, requested: Requested, qos: 0 | 1 | 2, identifier: number | undefined): Outgoing[]
  unsubscribe(from: string, filter: string): boolean
  settled(clientId: string, message: Outgoing): void
  violated(violation: Violation): void
  /** Something has come. */
  stirred(): void
  gone(client: Client, sessionEnds: boolean): void
}

export interface ClientParts {
  readonly limits: Limits
  readonly faults: StrictFaults
  /** In flight to a client that announces no Receive Maximum. */
  readonly maxInflight: number
  readonly protocolVersions: readonly number[]
  readonly switchboard: Switchboard
  readonly link: (events: LinkEvents) => Link
}

let anonymous = 0

export class Client {
  clientId: string | undefined
  readonly #parts: ClientParts
  readonly #link: Link
  #state: 'new' | 'up' | 'leaving' | 'over' = 'new'
  #session: Session | undefined
  #sessionEnds = true
  #will: Publication | undefined
  #keepalive: NodeJS.Timeout | undefined
  /** Publications of its own that are not acknowledged, or not completed. */
  readonly #open = new Set<number>()
  readonly #answers: Packet[] = []
  readonly #held: Outgoing[] = []

  constructor(parts: ClientParts) {
    this.#parts = parts
    this.#link = parts.link({
      received: (frame) => this.#received(frame),
      faulty: (found) => this.#violated(found),
      gone: () => this.#gone(),
    })
  }

  deliver(message: Outgoing): void {
    if (message.qos > 0) this.#session?.add(message)
    else this.#held.push(message)
    this.pump()
  }

  /** Sends what may be sent. */
  pump(): void {
    if (this.#state !== 'up' || this.#parts.faults.holdsDeliveries || this.#parts.faults.silent) return
    const atMostOnce = this.#held.splice(0).map((message) => publishPacket(message))
    this.#link.send(...atMostOnce, ...[...(this.#session?.next() ?? [])].map((one) => toPacket(one)))
  }

  resend(): void {
    if (this.#state === 'up') {
      this.#link.send(...[...(this.#session?.again() ?? [])].map((one) => toPacket(one)))
    }
  }

  answer(): void {
    this.#link.send(...this.#answers.splice(0))
  }

  takenOver(): void {
    this.#goodbye(0x8e)
  }

  cut(how: 'reset' | 'end'): void {
    this.#state = 'over'
    if (how === 'reset') this.#link.reset()
    else this.#link.end()
  }

  #received(frame: Frame): void {
    const { packet } = frame
    if (this.#state === 'over') return
    this.#keepalive?.refresh()
    if (packet.cmd === 'connect') this.#link.version = packet.protocolVersion ?? 4
    const found = this.#outOfPlace(packet) ?? wordFault(frame, this.#parts.limits) ?? this.#handle(packet)
    if (found !== undefined) this.#violated(found, packet.cmd)
    this.#parts.switchboard.stirred()
  }

  #outOfPlace({ cmd }: Packet): Fault | undefined {
    if (this.#state === 'leaving') return fault('connect', `${cmd} behind DISCONNECT`)
    if (cmd === 'connect') return this.#state === 'new' ? undefined : fault('connect', 'a second CONNECT')
    return this.#state === 'new' ? fault('connect', `${cmd} before CONNECT`) : undefined
  }

  #handle(packet: Packet): Fault | undefined {
    switch (packet.cmd) {
      case 'connect':
        return this.#connect(packet)
      case 'publish':
        return this.#publish(packet)
      case 'pubrel':
        return this.#release(packet.messageId ?? 0)
      case 'puback':
      case 'pubrec':
      case 'pubcomp':
        return this.#acknowledged(packet.cmd, packet.messageId ?? 0, packet.reasonCode)
      case 'subscribe':
        return this.#subscribe(packet)
      case 'unsubscribe': {
        const { messageId = 0, unsubscriptions } = packet
        const removed = unsubscriptions.map((filter) => this.#board.unsubscribe(this.#id, filter))
        const granted = removed.map((was) => (was ? 0 : 0x11))
        this.#link.send({ cmd: 'unsuback', messageId, granted })
        return undefined
      }
      case 'pingreq':
        this.#link.send({ cmd: 'pingresp' })
        return undefined
      case 'disconnect':
        return this.#disconnect(packet.reasonCode, packet.properties?.sessionExpiryInterval)
      default:
        return fault('protocol', `${packet.cmd} was not asked for`)
    }
  }

  get #board(): Switchboard {
    return this.#parts.switchboard
  }

  get #id(): string {
    return this.clientId ?? ''
  }

  #connect(packet: IConnectPacket): undefined {
    const { clean = true, keepalive = 0, properties = {}, will } = packet
    const { version } = this.#link
    if (!this.#parts.protocolVersions.includes(version)) {
      this.#link.send({ cmd: 'connack', sessionPresent: false, returnCode: 1, reasonCode: 0x84 })
      this.#state = 'over'
      this.#link.end()
      return undefined
    }
    this.clientId = packet.clientId === '' ? `anonymous-${++anonymous}` : packet.clientId
    this.#sessionEnds = version === 5 ? (properties.sessionExpiryInterval ?? 0) === 0 : clean
    if (will !== undefined) {
      const { topic, payload, qos = 0, retain = false } = will
      this.#will = { topic, payload: Buffer.from(payload), qos, retain, properties: {} }
    }
    const { session, isPresent } = this.#board.open(this, this.clientId, clean)
    this.#session = session
    this.#state = 'up'
    const { faults, maxInflight } = this.#parts
    session.begin(properties.receiveMaximum ?? (version === 5 ? 65_535 : maxInflight), { ...faults })
    this.#watch(keepalive)
    this.#link.send(this.#welcome(isPresent))
    this.pump()
  }

  #welcome(sessionPresent: boolean): IConnackPacket {
    const { maximumQos, maximumPacketSize, receiveMaximum } = this.#parts.limits
    const packet: IConnackPacket = { cmd: 'connack', sessionPresent, returnCode: 0, reasonCode: 0 }
    if (this.#link.version < 5) return packet
    // Two is what it is when nothing is said [MQTT-3.2.2-9].
    const quality = maximumQos === 2 ? {} : { maximumQoS: maximumQos }
    const assigned =
      this.clientId?.startsWith('anonymous-') === true ? { assignedClientIdentifier: this.clientId } : {}
    return { ...packet, properties: { receiveMaximum, maximumPacketSize, ...quality, ...assigned } }
  }

  #watch(keepaliveSeconds: number): void {
    if (keepaliveSeconds === 0) return
    this.#keepalive = setTimeout(() => {
      this.#violated(fault('keepalive', `silent for more than 1.5 times ${keepaliveSeconds} s`))
    }, keepaliveSeconds * 1_500)
  }

  #publish(packet: IPublishPacket): Fault | undefined {
    const { topic, qos, retain, messageId = 0, properties = {} } = packet
    const publication = {
      topic,
      payload: Buffer.from(packet.payload),
      qos,
      retain,
      properties: forwarded(properties),
    }
    if (qos === 0) {
      this.#board.publish(publication, this.#id)
      return undefined
    }
    if (this.#open.has(messageId)) return fault('packet id', `${messageId} is in use`)
    this.#open.add(messageId)
    if (this.#open.size > this.#parts.limits.receiveMaximum) {
      return fault('window', `${this.#open.size} unacknowledged publications`)
    }
    const isRepeated = qos === 2 && this.#session?.incoming.has(messageId) === true
    const receivers = isRepeated ? 1 : this.#board.publish(publication, this.#id)
    const reasonCode = receivers === 0 ? 0x10 : 0
    if (qos === 2) this.#session?.incoming.add(messageId)
    this.#answer({ cmd: qos === 1 ? 'puback' : 'pubrec', messageId, reasonCode })
    return undefined
  }

  #release(messageId: number): undefined {
    const reasonCode = this.#session?.incoming.delete(messageId) === true ? 0 : 0x92
    this.#answer({ cmd: 'pubcomp', messageId, reasonCode })
  }

  #answer(packet: Extract<Packet, { cmd: 'puback' | 'pubrec' | 'pubcomp' }>): void {
    this.#answers.push(packet)
    if (this.#parts.faults.holdsAnswers) return
    for (const { cmd, messageId } of this.#answers) if (cmd !== 'pubrec') this.#open.delete(messageId ?? 0)
    this.answer()
  }

  #acknowledged(cmd: AckCmd, messageId: number, reasonCode: number | undefined): Fault | undefined {
    const what = this.#session?.acknowledged(cmd, messageId, reasonCode)
    if (what !== undefined && 'type' in what) return what
    if (what !== undefined) this.#board.settled(this.#id, what)
    else if (cmd === 'pubrec') this.#link.send({ cmd: 'pubrel', messageId, reasonCode: 0 })
    this.pump()
    return undefined
  }

  #subscribe({ messageId = 0, properties, subscriptions }: ISubscribePacket): undefined {
    const identifier = properties?.subscriptionIdentifier
    const granted = subscriptions.map(({ qos }) => Math.min(qos, this.#parts.limits.maximumQos) as 0 | 1 | 2)
    const retained = subscriptions.flatMap((one, i) =>
      this.#board.subscribe(this.#id, one, granted[i] ?? 0, identifier),
    )
    this.#link.send({ cmd: 'suback', messageId, granted })
    for (const message of retained) this.deliver(message)
  }

  #disconnect(reasonCode = 0, sessionExpiry: number | undefined): Fault | undefined {
    if (sessionExpiry !== undefined) {
      if (this.#sessionEnds && sessionExpiry > 0)
        return fault('protocol', 'a longer session in DISCONNECT (3.14.2.2.2)')
      this.#sessionEnds = sessionExpiry === 0
    }
    if (reasonCode === 0) this.#will = undefined
    // It is the client that closes now; what it sends instead is a violation.
    this.#state = 'leaving'
    return undefined
  }

  #violated(found: Fault, cmd?: Packet['cmd']): void {
    this.#board.violated({ ...found, connection: this.#link.number, clientId: this.clientId, cmd })
    this.#goodbye(found.type === 'malformed' || found.type === 'utf-8' ? 0x81 : 0x82)
  }

  #goodbye(reasonCode: number): void {
    if (this.#link.version === 5 && this.#state === 'up') this.#link.send({ cmd: 'disconnect', reasonCode })
    this.#state = 'over'
    this.#link.end()
  }

  #gone(): void {
    clearTimeout(this.#keepalive)
    this.#state = 'over'
    if (this.#will !== undefined) this.#board.publish(this.#will, this.#id)
    this.#board.gone(this, this.#sessionEnds)
  }
}

function toPacket({ dup, message, messageId, phase }: InFlight): Packet {
  return phase === 'released'
    ? { cmd: 'pubrel', messageId, reasonCode: 0 }
    : { ...publishPacket(message), messageId, dup }
}

function publishPacket({ identifiers, payload, properties, qos, retain, topic }: Outgoing): IPublishPacket {
  const more =
    identifiers.length === 0 ? properties : { ...properties, subscriptionIdentifier: [...identifiers] }
  return { cmd: 'publish', topic, payload, qos, retain, dup: false, properties: more }
}

/** What travels with a message (3.3.2.3); an alias and an identifier are between two only. */
function forwarded(properties: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { topicAlias: _alias, subscriptionIdentifier: _identifier, ...rest } = properties
  return rest
}
