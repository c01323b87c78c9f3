// What the original server did not have at all, its finding 23: each is there. The numbers are those of docs/parity.md.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { mqttasgi, Router } from '../../lib/index.ts'
import { MemoryTransport } from '../../lib/testing/index.ts'
import { runProcess } from '../helpers/command-line.ts'
import { turns } from '../helpers/memory-server.ts'
import { startScriptedBroker } from '../helpers/scripted-broker.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { serving } from '../integration/serving.ts'
import { Tally } from '../integration/tally.ts'

test('23. the broker is told the last will, the keepalive and MQTT 5', async (t) => {
  const broker = await startScriptedBroker(t)
  const will = { topic: 'status/hall', payload: 'gone', qos: 2 } as const
  await serving(t, mqttasgi(), { broker: { host: '127.0.0.1', port: broker.port, keepalive: 17, will } })
  const [hello] = (await broker.link()).all('connect')
  t.like(hello, { keepalive: 17, protocolVersion: 5 })
  t.deepEqual(
    [hello?.will?.topic, hello?.will?.payload.toString(), hello?.will?.qos],
    ['status/hall', 'gone', 2],
  )
})

test('23. one process serves several brokers', async (t) => {
  const seen = new Tally()
  const app = mqttasgi().topic('a', (ctx) => seen.add(ctx.text()))
  const transports = [new MemoryTransport(), new MemoryTransport()]
  const servers = await Promise.all(transports.map((transport) => serving(t, app, { transport })))
  for (const [i, transport] of transports.entries()) transport.deliver('a', `from ${i}`)
  await seen.untilTotal(2)
  t.deepEqual(
    servers.map(({ counters }) => counters.handled),
    [1, 1],
  )
})

test('23. counters and health say how it goes', async (t) => {
  const transport = new MemoryTransport()
  const server = await serving(
    t,
    mqttasgi().topic('a', () => {}),
    { transport, broker: { retries: 0 } },
  )
  t.deepEqual(server.health, { ready: true, reasons: [] })
  transport.deliver('a')
  transport.deliver('b')
  await turns()
  t.like(server.counters, { received: 2, handled: 1, unmatched: 1, acknowledged: 2, connects: 1 })
  for (let i = 2; i < 20; i++) transport.failAt('connect', i, { type: 'lose' })
  transport.lose()
  await turns()
  t.false(server.health.ready)
})

test('23. routes with parameters, routers, middleware and an error handler', async (t) => {
  const transport = new MemoryTransport()
  const order: string[] = []
  const app = mqttasgi()
  app.use(async (_ctx, next) => {
    order.push('before')
    await next()
    order.push('after')
  })
  app.onError((error) => void order.push(error.message))
  const rooms = Router()
  rooms.topic('+room/temperature', (ctx) => {
    order.push(`${ctx.params.room} ${ctx.text()}`)
    if (ctx.text() === 'hot') throw new Error('too hot')
  })
  app.use('my', rooms)
  await serving(t, app, { transport })
  transport.deliver('my/hall/temperature', 'cold')
  await turns()
  transport.deliver('my/attic/temperature', 'hot', { qos: 0 })
  await turns()
  t.deepEqual(order, ['before', 'hall cold', 'after', 'before', 'attic hot', 'too hot'])
})

test('23. dev starts again when the application changes', async (t) => {
  const source = (word: string): string => `
    import { mqttasgi } from 'mqttasgi'
    export const app = mqttasgi()
    app.onConnect(() => console.log('this is ${word}'))
  `
  const cwd = temporaryFolder(t, { 'app.ts': source('the first') })
  const command = runProcess(t, ['dev', './app.ts'], { cwd })
  await command.seen(/this is the first/)
  writeFileSync(join(cwd, 'app.ts'), source('the second'))
  await command.seen(/this is the second/)
  command.signal('SIGINT')
  t.is(await command.ended, 0)
})
