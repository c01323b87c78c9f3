import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import test from 'ava'
import { MqttClient } from 'mqtt'
import { freePort } from '../helpers/free-port.ts'
import { loader } from '../helpers/loader.ts'
import { startScriptedBroker, type Script } from '../helpers/scripted-broker.ts'
import { setupScripted } from '../helpers/transport-setup.ts'

const root = new URL('../../', import.meta.url)

/** Runs a program in a process of its own, which must end by itself; resolves with all it printed. */
async function run(program: string, env: Record<string, string> = {}): Promise<string> {
  const imports = `
    import { MqttTransport } from './lib/transport/mqtt-transport.ts'
    const make = (port, more = {}) => new MqttTransport({ address: { type: 'tcp', host: '127.0.0.1', port },
      clientId: 'child', clean: true, keepaliveSeconds: 60, sessionExpirySeconds: 0, receiveMaximum: 10, maxPacketBytes: 10000,
      credentials: () => ({ username: 'user', password: 'canary-7f3a' }), ...more })
    const told = (transport) => new Promise((resolve) => transport.listen({ connected: () => resolve('connected'),
      arrived() {}, skipped() {}, closed: (failure) => resolve(failure.type) }))
  `
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--import', loader, '--input-type=module', '--eval', imports + program],
    { cwd: root, timeout: 20_000, maxBuffer: 10_000_000, env: { ...process.env, ...env } },
  )
  return stdout + stderr
}

test('after close() nothing keeps the process up: connected, connecting, failed, paused, with open requests', async (t) => {
  const script: Script = {
    publish: () => {},
    connect: (link, packet) => packet.clientId !== 'mute' && link.answer(packet),
  }
  const { port } = await startScriptedBroker(t, script)
  const nobody = await freePort()
  const printed = await run(`
    const connected = make(${port}), connecting = make(${port}, { clientId: 'mute' }), failed = make(${nobody})
    const all = [connected, connecting, failed].map(told)
    for (const transport of [connected, connecting, failed]) transport.connect(5)
    console.log(await all[0], await all[2])
    connected.publish('a', Buffer.from('x'), {}).catch((error) => console.log(error.code))
    connected.pause()
    await Promise.all([connected.close(60_000), connecting.close(60_000), failed.close(60_000)])
    console.log('done')
  `)
  t.is(printed, 'connected network\nERR_CONNECTION_CLOSED\ndone\n')
})

test('DEBUG prints no password', async (t) => {
  const { port } = await startScriptedBroker(t)
  const printed = await run(
    `
    const transport = make(${port})
    const ready = told(transport)
    transport.connect(5)
    console.log(await ready)
    await transport.close(200)
  `,
    { DEBUG: '*' },
  )
  t.regex(printed, /connected/)
  t.regex(printed, /mqtt-packet/)
  t.false(printed.includes('canary-7f3a'))
  t.false(printed.includes(Buffer.from('canary-7f3a').toString('hex').replace(/../g, '$& ').trim()))
})

test.serial('a hundred reconnects add no listener and no socket', async (t) => {
  const clients = new Set<MqttClient>()
  const connectClient = Object.getOwnPropertyDescriptor(MqttClient.prototype, 'connect')
  t.truthy(connectClient)
  Object.defineProperty(MqttClient.prototype, 'connect', {
    configurable: true,
    value: function connect(this: MqttClient) {
      clients.add(this)
      return connectClient?.value.call(this)
    },
  })
  t.teardown(() => Object.defineProperty(MqttClient.prototype, 'connect', connectClient ?? {}))
  const warnings: Error[] = []
  const warn = (warning: Error): unknown => warnings.push(warning)
  process.on('warning', warn)
  t.teardown(() => process.off('warning', warn))
  const script: Script = { publish: (link, packet) => link.version === 5 && link.answer(packet) }
  const { broker, connect, recorder, transport } = await setupScripted(t, script)
  const count = async (): Promise<string> => {
    await connect()
    await transport.publish('a', Buffer.from('x'), { qos: 1 })
    const [client] = clients
    const listeners = client?.eventNames().map((name) => `${name} ${client.listenerCount(name)}`)
    const handles = process.getActiveResourcesInfo().filter((name) => /TCP/.test(name)).length
    return JSON.stringify({ listeners, handles })
  }
  const before = await count()
  for (let round = 1; round <= 100; round++) {
    await transport.publish('a', Buffer.from('x'), { qos: 1 })
    transport.cut({ type: 'overflow', message: 'x' })
    await recorder.nth(recorder.failures, round)
    // The scripted broker's own half of it.
    broker.links[round - 1]?.stream.destroy()
    if (round < 100) await connect()
  }
  t.is(await count(), before)
  t.is(clients.size, 1)
  t.deepEqual(warnings, [])
})
