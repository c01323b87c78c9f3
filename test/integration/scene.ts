// A server of ours on mosquitto, with a log of what goes over the wire between them, and somebody who publishes.
import type { ExecutionContext } from 'ava'
import type { ServeOptions, Server } from '../../lib/index.ts'
import { startMosquitto, type MosquittoOptions } from '../helpers/mosquitto.ts'
import { startPublisher, type Publisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import type { WireProxy } from '../helpers/wire-log.ts'
import { serving, type Served } from './serving.ts'

export interface Scene {
  readonly proxy: WireProxy
  readonly publisher: Publisher
  /** Through the proxy. */
  readonly serve: (app: Served, options?: ServeOptions) => Promise<Server>
}

/** All of it is gone with the test. */
export async function scene(t: ExecutionContext, options: MosquittoOptions = {}): Promise<Scene> {
  const broker = await startMosquitto(options)
  t.teardown(() => broker.stop())
  const proxy = await recording(t, broker.port)
  const publisher = await startPublisher(broker.url)
  t.teardown(() => publisher.close())
  return {
    proxy,
    publisher,
    serve: (app, { broker: more, ...rest } = {}) =>
      serving(t, app, { ...rest, broker: { url: proxy.url, retries: 0, ...more } }),
  }
}
