// Findings as tests: each has a server of ours on a broker that forgives nothing, and must not have broken a rule of MQTT.
import test, { type ExecutionContext } from 'ava'
import type { ServeOptions, Server } from '../../lib/index.ts'
import { startStrictBroker, type StrictBroker, type StrictOptions } from '../brokers/strict/broker.ts'
import { newClientId, servingDirectly, type Served } from '../integration/serving.ts'
import { within } from '../integration/tally.ts'

export interface StrictScene {
  readonly broker: StrictBroker
  readonly clientId: string
  /** In a session that lasts. */
  readonly serve: (app: Served, options?: ServeOptions) => Promise<Server>
}

async function scene(t: ExecutionContext, options: StrictOptions = {}): Promise<StrictScene> {
  const broker = await startStrictBroker(options)
  t.teardown(() => broker.stop())
  const clientId = newClientId()
  const connection = { url: broker.url, clientId, clean: false, protocolVersion: 5, retries: 0 } as const
  return {
    broker,
    clientId,
    serve: (app, { broker: more, ...rest } = {}) =>
      servingDirectly(t, app, { ...rest, broker: { ...connection, ...more } }),
  }
}

/** No rule must have been broken when it has ended. */
export function finding(
  title: string,
  run: (t: ExecutionContext, on: StrictScene) => Promise<void>,
  options?: StrictOptions,
): void {
  // One after the other: what one of them makes the process do must not look like a slow client in another.
  test.serial(title, async (t) => {
    const on = await scene(t, options)
    await run(t, on)
    t.deepEqual(on.broker.violations, [])
  })
}

/** Resolves when so many have been acknowledged since the broker's start. */
export function settled(broker: StrictBroker, count: number): Promise<void> {
  const what = (): string => `${count} acknowledged; there are ${broker.settled.length}`
  return within(
    20_000,
    what,
    broker.until(() => broker.settled.length >= count),
  )
}
