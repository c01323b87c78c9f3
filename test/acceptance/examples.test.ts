// Every example does what its first lines say, and every file in examples/ is looked at here.
import test from 'ava'
// By its name, as the examples have it: two copies of the package would not know each other's applications.
import { serve, type Logger } from 'mqttasgi'
import { startBroker } from 'mqttasgi/broker'
import { dispatch } from 'mqttasgi/testing'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { app as hello } from '../../examples/hello.ts'
import { app as routers } from '../../examples/routers.ts'
import { app as shared } from '../../examples/shared.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { recordedUrl } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { root } from './code-blocks.ts'
import { startScript } from './script.ts'

const folder = join(root, 'examples')

/** A logger that keeps what handlers say. */
function recorder(): { readonly log: Logger; readonly said: string[] } {
  const said: string[] = []
  const say = (message: string): void => void said.push(message)
  return { said, log: { debug: say, info: say, warn: say, error: say } }
}

test('no example is forgotten here, and each one is in the README', (t) => {
  const seen = [
    'commands.ts',
    'database',
    'greenhouse',
    'hello.test.ts',
    'hello.ts',
    'request-reply.ts',
    'routers.ts',
    'shared.ts',
    'web',
  ]
  t.deepEqual(readdirSync(folder).sort(), seen)
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  for (const name of seen) t.true(readme.includes(`(examples/${name}`), name)
})

test('an example says in its first lines what it is, and names commands and files that are there', (t) => {
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue
    const source = readFileSync(join(folder, name), 'utf8')
    t.regex(source, /^\/\/ [A-Z].*\n/, name)
    for (const [file] of source.matchAll(/\bexamples\/[\w./-]+\.ts\b/g))
      t.true(existsSync(join(root, file)), file)
  }
})

test('hello: who says hello is greeted', async (t) => {
  const { published } = await dispatch(hello, 'hello/Ada', 'good morning')
  t.deepEqual(
    published.map(({ topic, payload }) => [topic, payload.toString()]),
    [['greetings/Ada', 'Hello Ada, you said "good morning".']],
  )
})

test('hello: its own test passes', async (t) => {
  const script = startScript(t, ['--test', 'examples/hello.test.ts'])
  t.is(await script.ended, 0, script.lines.join('\n'))
})

test('routers: the same router answers in both of its places', async (t) => {
  const { log, said } = recorder()
  await dispatch(routers, 'house/hall/lamp/7/set', 'on', { log })
  await dispatch(routers, 'garden/shed/left', 'open', { log })
  const { error } = await dispatch(routers, 'house/hall/lamp/7/broken', '', { log })
  t.deepEqual(said, [
    'house/+room/lamp/+lamp/set: lamp 7 in hall goes on',
    'garden/shed/+room: left says open',
    'house/hall/lamp/7/broken: the lamp in hall is broken',
  ])
  t.is(error?.message, 'the lamp in hall is broken')
})

test('request and reply: the answer finds the one who asked', async (t) => {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const script = startScript(t, ['examples/request-reply.ts', await recordedUrl(t, broker.url, {})])
  t.is(await script.ended, 0, script.lines.join('\n'))
  t.true(script.lines.includes('1 + 2 + 3 = 6'))
})

test('commands: what was stored while the broker was away arrives after a restart', async (t) => {
  const script = startScript(t, ['examples/commands.ts'])
  t.is(await script.ended, 0, script.lines.join('\n'))
  t.true(script.lines.includes('the command is on disk'))
  t.true(script.lines.includes('valve 7 hears: open'))
})

test('shared: a member of the group runs the group, and nothing else of it', async (t) => {
  const { log, said } = recorder()
  t.true((await dispatch(shared, 'orders/7', '', { share: 'printers', log })).handled)
  t.true((await dispatch(shared, 'announcements', 'lunch', { log })).handled)
  t.deepEqual(said, [`process ${process.pid} prints order 7`, `process ${process.pid} heard: lunch`])
})

serverTest('mosquitto')('shared: two members share the orders, and both hear the announcement', async (t) => {
  const mosquitto = await startMosquitto()
  t.teardown(() => mosquitto.stop())
  const url = await recordedUrl(t, mosquitto.url)
  const orders = new Set(['1', '2', '3', '4'])
  let all: () => void = () => {}
  const printed = new Promise<void>((resolve) => (all = resolve))
  const heard = [0, 0]
  const members = heard.map((_, member) => {
    const warn = (message: string): void => {
      if (message.endsWith('heard: lunch')) heard[member] = (heard[member] ?? 0) + 1
      else if (message.includes('prints order') && !orders.delete(message.slice(-1)))
        t.fail(`twice: ${message}`)
      if (orders.size === 0 && heard.every((count) => count > 0)) all()
    }
    return serve(shared, {
      broker: { url },
      log: { debug() {}, info() {}, warn, error: warn },
    })
  })
  const [first, second] = await Promise.all(members)
  t.teardown(() => Promise.all([first?.stop(), second?.stop()]))
  for (const id of orders) await first?.publish(`orders/${id}`, '')
  await first?.publish('announcements', 'lunch')
  await printed
  await Promise.all([first?.stop(), second?.stop()])
  t.deepEqual(heard, [1, 1])
})
