// What runs in the thread of a worker: loads its application, and lets the line lead to it.
import { getHeapStatistics } from 'node:v8'
import { parentPort, workerData } from 'node:worker_threads'
import { loadApplication } from '../config/application-file.ts'
import type { ModuleLoader } from '../config/modules.ts'
import type { Hostable } from '../core/hosted.ts'
import { ThreadSide } from './thread-side.ts'
import { wireError } from './wire-error.ts'
import type { FromThread, ThreadOrder, ToThread } from './wire.ts'

/** Runs the worker that this thread was made for; to be called once, by the thread's own file. */
export async function runThread(
  loader: ModuleLoader,
  asHostable: (value: unknown, what: string) => Hostable,
): Promise<void> {
  const port = parentPort
  if (port === null) throw new Error('This file is run in a thread, by a server with workers.')
  const order = workerData as ThreadOrder
  const line = {
    post: (news: FromThread, transfer: readonly ArrayBuffer[] = []) => port.postMessage(news, [...transfer]),
  }
  try {
    const loaded = await loadApplication(order.application, process.cwd(), loader)
    const hostable = asHostable(loaded, `The application of worker "${order.id}"`)
    const side = new ThreadSide(line, order, hostable, () => getHeapStatistics().external_memory)
    port.on('message', (asked: ToThread) => side.heard(asked))
  } catch (error) {
    line.post({ type: 'failed', error: wireError(error) })
  }
}
