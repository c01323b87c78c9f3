// What a consumer under test has asked for, in order, for a test that waits for it.
import { MqttasgiError } from '../core/errors.ts'
import type { PublishProperties, QoS, SubscribeOptions } from '../core/message.ts'
import { withinTime } from '../time-limit.ts'
import type { MqttUnsubscribeEvent, WorkerKillEvent, WorkerSpawnEvent } from '../consumer/events.ts'

/** Something that a consumer asked for, as an event of the protocol; nothing is left to a default. */
export type CommunicatorOutput =
  | {
      readonly type: 'mqtt.pub'
      readonly mqtt: {
        readonly topic: string
        /** The bytes as they go to the broker. */
        readonly payload: Buffer
        readonly qos: QoS
        readonly retain: boolean
        readonly properties?: PublishProperties
      }
    }
  | {
      readonly type: 'mqtt.sub'
      readonly mqtt: SubscribeOptions & { readonly topic: string; readonly qos: QoS }
    }
  | MqttUnsubscribeEvent
  | WorkerSpawnEvent
  | WorkerKillEvent

type Item = { readonly output: CommunicatorOutput } | { readonly error: Error }

export class Outputs {
  readonly #items: Item[] = []
  #wake: () => void = () => {}

  get isEmpty(): boolean {
    return this.#items.length === 0
  }

  push(output: CommunicatorOutput): void {
    this.#add({ output })
  }

  fail(error: Error): void {
    this.#add({ error })
  }

  /**
   * The next output; rejects with what the consumer failed with, in its place, and with `ERR_COMMUNICATOR_TIMEOUT`.
   * Resolves with undefined when `over` does before anything came.
   */
  async next(
    what: string,
    timeoutMs: number,
    over?: Promise<unknown>,
  ): Promise<CommunicatorOutput | undefined> {
    if (this.isEmpty) await this.#something(what, timeoutMs, over)
    const item = this.#items.shift()
    if (item !== undefined && 'error' in item) throw item.error
    return item?.output
  }

  #add(item: Item): void {
    this.#items.push(item)
    this.#wake()
  }

  async #something(what: string, timeoutMs: number, over: Promise<unknown> | undefined): Promise<void> {
    const came = new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    await withinMs(timeoutMs, what, over === undefined ? came : Promise.race([came, over]))
  }
}

/** Rejects with `ERR_COMMUNICATOR_TIMEOUT` when it takes longer, by the clock on the wall. */
export function withinMs<T>(timeoutMs: number, what: string, work: Promise<T>): Promise<T> {
  const message = `${what} took longer than ${timeoutMs} ms. The consumer goes on; ask again, or give more time.`
  return withinTime(timeoutMs, work, () => new MqttasgiError('ERR_COMMUNICATOR_TIMEOUT', message))
}
