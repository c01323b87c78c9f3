import test, { type ExecutionContext } from 'ava'
import type { Packet } from 'mqtt-packet'
import { MqttTransport } from '../../lib/transport/mqtt-transport.ts'
import { transportContract, type ContractBroker, type ContractSetup } from '../contract/transport.ts'
import {
  startScriptedBroker,
  type Script,
  type ScriptedBroker,
  type ScriptedLink,
} from '../helpers/scripted-broker.ts'

class Broker implements ContractBroker {
  scripted: ScriptedBroker | undefined
  readonly #refusals: ('version' | 'credentials')[] = []
  readonly #codes: number[] = []
  #holds = false
  #unanswered: { readonly link: ScriptedLink; readonly packet: Packet }[] = []
  #lastId = 0

  readonly script: Script = {
    connect: (link, packet) => {
      const refusal = this.#refusals.shift()
      if (refusal === undefined) return link.answer(packet)
      const code = refusal === 'version' ? { 4: 1, 5: 0x84 } : { 4: 5, 5: 0x87 }
      const refused = code[link.version === 5 ? 5 : 4]
      link.welcome({ returnCode: refused, reasonCode: refused })
      link.stream.end()
    },
    publish: (link, packet) => {
      if (this.#holds) this.#unanswered.push({ link, packet })
      else link.answer(packet)
    },
    subscribe: (link, packet) => {
      const granted = packet.subscriptions.map(({ qos }) => this.#codes.shift() ?? qos)
      link.send({ cmd: 'suback', messageId: packet.messageId ?? 0, granted })
    },
  }

  deliver(topic: string, payload: string, qos: 0 | 1): void {
    this.#current.deliver(topic, payload, qos === 0 ? {} : { qos, messageId: ++this.#lastId })
  }

  acked(): number[] {
    return this.#links.flatMap((link) => link.acked())
  }

  published(): string[] {
    return this.#links.flatMap((link) => link.all('publish')).map(({ topic }) => topic)
  }

  subscribed(): string[] {
    return this.#links
      .flatMap((link) => link.all('subscribe'))
      .flatMap(({ subscriptions }) => subscriptions.map(({ topic }) => topic))
  }

  refuseNext(type: 'version' | 'credentials'): void {
    this.#refusals.push(type)
  }

  grantNext(...codes: number[]): void {
    this.#codes.push(...codes)
  }

  hold(): void {
    this.#holds = true
  }

  release(): void {
    this.#holds = false
    for (const { link, packet } of this.#unanswered) if (!link.stream.destroyed) link.answer(packet)
    this.#unanswered = []
  }

  lose(): void {
    this.#current.stream.destroy()
  }

  get #links(): readonly ScriptedLink[] {
    return this.scripted?.links ?? []
  }

  get #current(): ScriptedLink {
    const link = this.#links.at(-1)
    if (link === undefined) throw new Error('The client has not connected yet.')
    return link
  }
}

transportContract(test, 'MQTT.js', async (t: ExecutionContext): Promise<ContractSetup> => {
  const broker = new Broker()
  broker.scripted = await startScriptedBroker(t, broker.script)
  const transport = new MqttTransport({
    address: { type: 'tcp', host: '127.0.0.1', port: broker.scripted.port },
    clientId: 'contract',
    clean: true,
    keepaliveSeconds: 60,
    sessionExpirySeconds: 0,
    receiveMaximum: 100,
    maxPacketBytes: 1_048_576,
  })
  return { transport, broker }
})
