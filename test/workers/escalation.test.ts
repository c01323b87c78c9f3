// A worker that ends its server: what becomes of what was in hand, and that what is said of it is so.
import test, { type ExecutionContext } from 'ava'
import { mqttasgi, type RawApplication, type Server } from '../../lib/index.ts'
import { MemoryTransport } from '../../lib/testing/index.ts'
import { KeptLog, newClientId, serving } from '../integration/serving.ts'

/** Dies of the first message that it gets. */
const mortal: RawApplication = async (_scope, receive, send) => {
  await receive()
  await send({ type: 'mqtt.sub', mqtt: { topic: 'jobs/+', qos: 1 } })
  await receive()
  throw new Error('no more')
}

interface End {
  readonly server: Server
  readonly transport: MemoryTransport
  readonly lines: readonly string[]
}

/** Three messages are in hand when it ends. */
async function ended(t: ExecutionContext, clean: boolean): Promise<End> {
  const transport = new MemoryTransport()
  const log = new KeptLog()
  const broker = { clean, clientId: newClientId() }
  const server = await serving(t, mqttasgi(), { transport, log, broker })
  await server.spawn('mortal', mortal, { maxRestarts: 0, escalation: 'exit' })
  for (const job of ['one', 'two', 'three']) transport.deliver(`jobs/${job}`, job)
  t.like(await server.closed, { error: { code: 'ERR_WORKER_STOPPED' } })
  return { server, transport, lines: log.lines }
}

test('with escalation exit a kept session leaves what was in hand to the broker', async (t) => {
  const { server, transport, lines } = await ended(t, false)
  t.deepEqual(transport.acknowledged, [])
  t.like(server.counters, { acknowledged: 0, deadLettered: 0, failed: 0 })
  t.false(lines.some((line) => line.includes('dead letter')))
})

test('with escalation exit a clean session keeps what was in hand as dead letters, and says so', async (t) => {
  const { server, transport, lines } = await ended(t, true)
  // Nobody would send it again: it is acknowledged because it is kept.
  t.deepEqual(transport.acknowledged, [1, 2, 3])
  t.like(server.counters, { acknowledged: 3, deadLettered: 3, failed: 0 })
  t.is(
    lines.filter((line) => /dead letter/.test(line) && /ended the server/.test(line)).length,
    3,
    lines.join('\n'),
  )
  t.false(lines.some((line) => line.includes('left to the next')))
})
