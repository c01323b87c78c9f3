// Workers in this thread: each start makes a new receiver of the same application.
import { MqttasgiError, toError } from '../core/errors.ts'
import type { Hostable, ReceiverIdentity } from '../core/hosted.ts'
import type { Incarnation, WorkerHost } from './host.ts'

export class InProcessHost implements WorkerHost {
  readonly #hostable: Hostable
  readonly #identity: ReceiverIdentity

  constructor(hostable: Hostable, identity: ReceiverIdentity) {
    this.#hostable = hostable
    this.#identity = identity
  }

  async start(): Promise<Incarnation> {
    const receiver = this.#make()
    return {
      receiver,
      // One of its own each: a promise of all would keep whoever waits for it.
      ended: receiver.ended ?? new Promise<undefined>(() => {}),
      close: async () => receiver.release(),
    }
  }

  #make(): ReturnType<Hostable['receiver']> {
    try {
      return this.#hostable.receiver(this.#identity)
    } catch (cause) {
      throw startFailure(this.#identity, cause)
    }
  }
}

// Each worker has a file of its own.
const fileCodes: ReadonlySet<string> = new Set([
  'ERR_APPLICATION_FILE',
  'ERR_APPLICATION_EXPORT',
  'ERR_APPLICATION_LOAD',
])

/** What is said of a worker whose application failed before it was ready. */
export function startFailure(
  { id, mount }: Pick<ReceiverIdentity, 'id' | 'mount'>,
  cause: unknown,
): MqttasgiError {
  const { message } = toError(cause)
  const details = { cause, receiver: id }
  if (!(cause instanceof MqttasgiError)) {
    return new MqttasgiError('ERR_WORKER_START', `Worker "${id}" could not be started: ${message}`, details)
  }
  if (fileCodes.has(cause.code)) {
    // Who loads the file asks, and so does who starts the worker.
    if (cause.receiver === id) return cause
    return new MqttasgiError(cause.code, `Worker "${id}": ${message}`, details)
  }
  // What has a code of its own says enough, but for where it was to stand.
  if (!['ERR_MOUNT_INVALID', 'ERR_PATTERN_INVALID'].includes(cause.code)) return cause
  const what = `Worker "${id}" can not be mounted under "${mount}": ${message}`
  return new MqttasgiError('ERR_WORKER_OPTION', what, details)
}
