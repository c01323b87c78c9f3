// Workers in threads of their own: starts them, hears them, and ends those that loop, leak or crash.
import { Worker as Thread } from 'node:worker_threads'
import { show } from '../config/value.ts'
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import { receiverCounters, type ReceiverCounter, type ReceiverIdentity } from '../core/hosted.ts'
import { ownBytes } from '../core/own-bytes.ts'
import { Desk } from './desk.ts'
import type { Incarnation, WorkerHost } from './host.ts'
import { startFailure } from './in-process.ts'
import { Pulse, pulseTimes, type PulseTimes } from './pulse.ts'
import { ThreadReceiver } from './thread-receiver.ts'
import { untilAborted } from './until-aborted.ts'
import { errorOf } from './wire-error.ts'
import type { FromThread, Line, ThreadOrder, ToThread, WireFields } from './wire.ts'

/** What threads of one worker are made with. */
export interface ThreadParts {
  readonly identity: ReceiverIdentity
  /** `/absolute/file.ts#export`. */
  readonly application: string
  readonly memoryMb: number | undefined
  /** The file that runs in the thread; it calls `runThread`. */
  readonly entry: URL
  readonly times?: PulseTimes
}

const START_TIMEOUT_MS = 60_000
const never = new AbortController().signal

export class ThreadHost implements WorkerHost {
  readonly #parts: ThreadParts

  constructor(parts: ThreadParts) {
    this.#parts = parts
  }

  async start(signal: AbortSignal = never): Promise<Incarnation> {
    const { identity } = this.#parts
    let running: RunningThread | undefined
    let cancel: (() => void) | undefined
    try {
      signal.throwIfAborted()
      running = new RunningThread(this.#parts)
      const tooLate = new Promise<never>((_, reject) => {
        cancel = identity.clock.after(START_TIMEOUT_MS, () =>
          reject(new Error(`its thread was not ready within ${START_TIMEOUT_MS / 1_000} s`)),
        )
      })
      await untilAborted(Promise.race([running.ready.promise, tooLate]), signal)
      return running
    } catch (error) {
      await running?.close()
      throw startFailure(identity, error)
    } finally {
      cancel?.()
    }
  }
}

/** One thread. */
class RunningThread implements Incarnation {
  readonly receiver: ThreadReceiver
  readonly ready = new Deferred()
  readonly #ended = new Deferred<Error | undefined>()
  readonly #parts: ThreadParts
  readonly #thread: Thread
  readonly #desk: Desk
  #pulse: Pulse | undefined = undefined
  /** Why it is being ended; `exit` says only that it has. */
  #cause: Error | undefined = undefined

  constructor(parts: ThreadParts) {
    this.#parts = parts
    const { entry, identity, memoryMb } = parts
    const { id } = identity
    const line: Line<ToThread> = { post: (message, transfer) => this.#post(message, transfer) }
    this.receiver = new ThreadReceiver(id, line, () => this.#pulse?.check())
    this.#desk = new Desk(line, () => this.receiver.client, identity)
    this.#thread = new Thread(entry, {
      name: `mqttasgi ${id}`,
      argv: [],
      workerData: orderOf(parts),
      ...(memoryMb === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: memoryMb } }),
    })
    this.#thread.on('message', (news: FromThread) => this.#hear(news))
    this.#thread.on('messageerror', (error) => void this.#end(error))
    this.#thread.on('error', (error) => (this.#cause ??= this.#causeOf(error)))
    this.#thread.on('exit', (code) => this.#exited(code))
  }

  get ended(): Promise<Error | undefined> {
    return this.#ended.promise
  }

  async close(cause = new Error('the worker was ended')): Promise<void> {
    this.#pulse?.stop()
    this.#cause ??= cause
    await Promise.all([this.#thread.terminate(), this.#desk.close()])
  }

  #post(message: ToThread, transfer: readonly ArrayBuffer[] = []): void {
    this.#thread.postMessage(message, [...transfer])
  }

  // Whatever follows from what a thread says, it follows for that thread alone.
  #hear(news: FromThread): void {
    try {
      this.#heard(news)
    } catch (thrown) {
      void this.#end(toError(thrown))
    }
  }

  #heard(news: FromThread): void {
    switch (news.type) {
      case 'table':
        this.receiver.heard(news)
        return this.#begin()
      case 'failed':
        return this.ready.reject(errorOf(news.error))
      case 'call':
        return void this.#desk.asked(news).catch((thrown: unknown) => this.#end(toError(thrown)))
      case 'cancel':
        return this.#desk.cancelled(news.call)
      case 'log':
        return this.#parts.identity.log[news.level](news.message, {
          ...fieldsOf(news.fields),
          worker: this.receiver.id,
        })
      case 'counted':
        return this.#count(news.counter)
      case 'pong':
        this.#pulse?.answered(news.ping)
        return this.#weigh(news.bytes)
      case 'memory':
        return this.#weigh(news.bytes)
      case 'ended':
        return void this.#end(news.error === undefined ? undefined : errorOf(news.error))
      default:
        return this.receiver.heard(news)
    }
  }

  // What runs there can post whatever it likes, and the server has other counters beside these.
  #count(counter: ReceiverCounter): void {
    if (!receiverCounters.includes(counter)) throw this.#miscounted(counter)
    this.#parts.identity.countEvent?.(counter)
  }

  #begin(): void {
    if (this.ready.settled) return
    const { identity, times = pulseTimes } = this.#parts
    this.#pulse = new Pulse({
      clock: identity.clock,
      times,
      afterNews: (callback) => void setImmediate(callback),
      ask: (ping) => this.#post({ type: 'ping', ping }),
      isIdle: () => this.receiver.isIdle,
      silent: (forMs) => void this.#end(this.#unresponsive(forMs)),
    })
    this.ready.resolve()
  }

  #weigh(bytes: number): void {
    const { memoryMb } = this.#parts
    if (memoryMb !== undefined && bytes > memoryMb * 1_048_576) {
      void this.#end(this.#tooLarge(`${Math.round(bytes / 1_048_576)} MB of buffers`))
    }
  }

  // With `undefined` it ends as it should.
  async #end(cause: Error | undefined): Promise<void> {
    if (cause === undefined) this.#ended.resolve(undefined)
    else this.#cause ??= cause
    await this.#thread.terminate()
  }

  #exited(code: number): void {
    this.#pulse?.stop()
    void this.#desk.close()
    const cause = this.#cause ?? new MqttasgiError('ERR_WORKER_CRASHED', this.#exit(code))
    this.receiver.lost(cause)
    this.ready.reject(cause)
    this.#ended.resolve(cause)
  }

  #exit(code: number): string {
    return `The thread of worker "${this.receiver.id}" has ended itself with exit code ${code}.`
  }

  #causeOf(thrown: unknown): Error {
    const error = toError(thrown)
    if (Reflect.get(error, 'code') === 'ERR_WORKER_OUT_OF_MEMORY') return this.#tooLarge('its heap')
    // Ended for a reason that is known already, or by something that nobody caught.
    return error
  }

  #tooLarge(what: string): MqttasgiError {
    const { identity, memoryMb } = this.#parts
    const limit = memoryMb === undefined ? 'the runtime allows' : `memoryMb (${memoryMb}) allows`
    return new MqttasgiError(
      'ERR_WORKER_MEMORY',
      `The thread of worker "${identity.id}" took more memory than ${limit}, and was ended: ${what}.`,
      { receiver: identity.id },
    )
  }

  #miscounted(counter: unknown): MqttasgiError {
    const { id } = this.#parts.identity
    return new MqttasgiError(
      'ERR_WORKER_CRASHED',
      `The thread of worker "${id}" was ended for what it said: expected ${receiverCounters.join(', ')} as what it counts, got ${show(counter)}. Leave parentPort to mqttasgi.`,
      { receiver: id },
    )
  }

  #unresponsive(forMs: number): MqttasgiError {
    const { id } = this.#parts.identity
    return new MqttasgiError(
      'ERR_WORKER_UNRESPONSIVE',
      `The thread of worker "${id}" has not answered for ${Math.round(forMs)} ms, and was ended: most likely a loop without end.`,
      { receiver: id },
    )
  }
}

function orderOf({ application, identity, memoryMb }: ThreadParts): ThreadOrder {
  const { channels, id, instances, mount, rules, scope } = identity
  return {
    id,
    application,
    mount,
    scope: ownBytes(scope),
    rules,
    memoryMb,
    instances,
    groupExpiry: channels?.groupExpiry,
  }
}

function fieldsOf(fields: WireFields): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, field]) => [
      name,
      field === undefined ? undefined : 'error' in field ? errorOf(field.error) : field.value,
    ]),
  )
}
