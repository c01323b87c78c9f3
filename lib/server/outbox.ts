// The outbox: publications on their way to the broker, bounded in number, within the broker's own window.
import { MqttasgiError } from '../core/errors.ts'
import type { PublishOptions, PublishResult } from '../core/message.ts'
import { Fifo } from './fifo.ts'

/** Hands one publication to the connection; settles with the broker's answer. */
export type Send = (topic: string, payload: Buffer, options: PublishOptions) => Promise<PublishResult>

/** Limits of the outbox. */
export interface OutboxLimits {
  /** Publications that wait or are under way. */
  readonly maxMessages: number
  readonly maxBytes: number
}

interface Letter {
  readonly topic: string
  readonly payload: Buffer
  readonly options: PublishOptions
  readonly resolve: (result: PublishResult) => void
  readonly reject: (error: unknown) => void
}

/**
 * Publications of QoS 1 and 2 wait here while the broker is away or has as many as it takes; those of
 * QoS 0 never wait: what the connection does not take at once is refused.
 */
export class Outbox {
  readonly #send: Send
  readonly #limits: OutboxLimits
  readonly #waiting = new Fifo<Letter>()
  #underWay = 0
  #bytes = 0
  #open = 0
  #closed: MqttasgiError | undefined = undefined
  #idle: (() => void)[] = []

  constructor(send: Send, limits: OutboxLimits) {
    this.#send = send
    this.#limits = limits
  }

  /** Publications that have no answer yet. */
  get size(): number {
    return this.#waiting.size + this.#underWay
  }

  /** The broker takes this many unacknowledged publications (its Receive Maximum); 0 while it is away. */
  open(receiveMaximum: number): void {
    this.#open = receiveMaximum
    this.#flush()
  }

  /** Settles exactly once. Rejects with `ERR_OUTBOX_FULL`, `ERR_STOPPED`, or what the connection says. */
  publish(topic: string, payload: Buffer, options: PublishOptions): Promise<PublishResult> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed)
    if (options.qos === 0) return this.#send(topic, payload, options)
    if (this.size >= this.#limits.maxMessages || this.#bytes + payload.length > this.#limits.maxBytes) {
      return Promise.reject(this.#full(topic))
    }
    this.#bytes += payload.length
    return new Promise((resolve, reject) => {
      this.#waiting.push({ topic, payload, options, resolve, reject })
      this.#flush()
    })
  }

  /** Resolves when every publication has its answer. */
  idle(): Promise<void> {
    if (this.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  /** Refuses what waits and what is to come. What is under way is the connection's to refuse. */
  close(error: MqttasgiError): void {
    this.#closed = error
    for (const letter of this.#waiting.clear()) {
      this.#bytes -= letter.payload.length
      letter.reject(error)
    }
    this.#wake()
  }

  #flush(): void {
    while (this.#underWay < this.#open) {
      const letter = this.#waiting.shift()
      if (letter === undefined) return
      this.#underWay++
      this.#send(letter.topic, letter.payload, letter.options)
        .then(letter.resolve, letter.reject)
        .finally(() => this.#answered(letter))
    }
  }

  #answered(letter: Letter): void {
    this.#underWay--
    this.#bytes -= letter.payload.length
    this.#flush()
    this.#wake()
  }

  #wake(): void {
    if (this.size > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  #full(topic: string): MqttasgiError {
    const { maxMessages, maxBytes } = this.#limits
    return new MqttasgiError(
      'ERR_OUTBOX_FULL',
      `"${topic}" was not published: ${this.size} publications (${this.#bytes} bytes) wait for the broker, the limits are ${maxMessages} and ${maxBytes}. Await publish(), or publish less while the broker is away.`,
      { topic },
    )
  }
}
