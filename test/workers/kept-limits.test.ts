// A worker that is let go with a handler still running, and routes that may shed: its successor has all its places.
import test from 'ava'
import { mqttasgi, type Application } from '../../lib/index.ts'
import { crewedServer } from '../helpers/crewed-server.ts'
import { turns } from '../helpers/memory-server.ts'

for (const subscriptions of ['keep', 'unsubscribe'] as const) {
  test(`what waited for the limit of a worker that is gone holds up nobody (${subscriptions})`, async (t) => {
    const { server, transport } = await crewedServer(t, mqttasgi(), { deadLetter: { store: 'none' } })
    const seen: string[] = []
    const worker = (name: string, ends: boolean): Application => {
      const app = mqttasgi()
      app.topic('m/+id', { concurrency: 1, overflow: 'latest' }, (ctx) => {
        seen.push(`${name} ${ctx.text()}`)
        return ends ? undefined : new Promise<void>(() => {})
      })
      return app
    }
    await server.spawn('w', worker('first', false))
    transport.deliver('m/1', 'hangs')
    transport.deliver('m/2', 'waits')
    await turns()
    await server.kill('w', { drainTimeoutMs: 10, subscriptions })
    await server.spawn('w', worker('second', true))
    transport.deliver('m/3', 'comes later')
    await turns()
    t.is(seen.at(-1), 'second comes later')
    t.is(seen.includes('second waits'), subscriptions === 'keep')
    t.is(transport.acknowledged.length, 3)
    const { clean } = await server.stop({ drainTimeoutMs: 5_000 })
    t.true(clean)
  })
}
