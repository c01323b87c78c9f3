// What a consumer under test has asked for, in order, for a test that waits for it.
import { Deferred } from '../core/deferred.ts'
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
  // First come, first served. One that waits no longer is not among them, or it would swallow an output.
  readonly #waiting = new Set<Deferred<CommunicatorOutput>>()

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
   * Resolves with what `over` does, when that comes first.
   */
  async next<T = never>(what: string, timeoutMs: number, over?: Promise<T>): Promise<CommunicatorOutput | T> {
    const waiting = new Deferred<CommunicatorOutput>()
    this.#waiting.add(waiting)
    this.#serve()
    const leave = <R>(reason: R): R => {
      this.#waiting.delete(waiting)
      return reason
    }
    const work = over === undefined ? waiting.promise : Promise.race([waiting.promise, over.then(leave)])
    const came = await withinTime(timeoutMs, work, () => leave(tooLate(what, timeoutMs)))
    // What was asked for has its answer then: a test goes on to publish to what was subscribed.
    await nextTurn()
    return came
  }

  #add(item: Item): void {
    this.#items.push(item)
    this.#serve()
  }

  #serve(): void {
    const [item] = this.#items
    const [waiting] = this.#waiting
    if (item === undefined || waiting === undefined) return
    this.#items.shift()
    this.#waiting.delete(waiting)
    if ('error' in item) waiting.reject(item.error)
    else waiting.resolve(item.output)
  }
}

/** Rejects with `ERR_COMMUNICATOR_TIMEOUT` when it takes longer, by the clock on the wall. */
export function withinMs<T>(timeoutMs: number, what: string, work: Promise<T>): Promise<T> {
  return withinTime(timeoutMs, work, () => tooLate(what, timeoutMs))
}

function tooLate(what: string, timeoutMs: number): MqttasgiError {
  const message = `${what} took longer than ${timeoutMs} ms. The consumer goes on; ask again, or give more time.`
  return new MqttasgiError('ERR_COMMUNICATOR_TIMEOUT', message)
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
