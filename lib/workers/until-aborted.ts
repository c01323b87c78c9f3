// Waits for something only as long as a signal lets it.
import { Deferred } from '../core/deferred.ts'

/** Settles as `promise` does; rejects with the signal's reason when that comes first. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const over = new Deferred<never>()
  const abort = (): void => over.reject(signal.reason)
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([over.promise, promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
