// Brokers that can not be reached, do not want us, or speak an older language: what is said, and that it ends.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server as NetServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { mqttasgi, type ServeOptions } from '../../lib/index.ts'
import { resolveOptions } from '../../lib/config/load.ts'
import { createServer as createOurServer } from '../../lib/serve.ts'
import { certificates } from '../helpers/certificates.ts'
import { startFaultProxy, type FaultProxy } from '../helpers/fault-proxy.ts'
import { freePort } from '../helpers/free-port.ts'
import { loader } from '../helpers/loader.ts'
import { startMosquitto, type MosquittoOptions } from '../helpers/mosquitto.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { NEW_REFUSAL, protocolLevel, startOldBroker } from './old-broker.ts'
import type { Ending } from './programs/connecting.ts'
import { KeptLog, serving } from './serving.ts'
import { Tally, within } from './tally.ts'

const withMosquitto = serverTest('mosquitto')
const program = fileURLToPath(new URL('programs/connecting.ts', import.meta.url))

/** A mosquitto, and a proxy that counts who comes. None of them gets further than CONNECT, and so nothing is recorded. */
async function counted(t: ExecutionContext, options: MosquittoOptions): Promise<FaultProxy> {
  const broker = await startMosquitto(options)
  t.teardown(() => broker.stop())
  const proxy = await startFaultProxy({ target: broker.port })
  t.teardown(() => proxy.close())
  return proxy
}

interface Listener {
  readonly url: string
  /** The first bytes of each connection. */
  readonly hellos: Buffer[]
}

/** A server that does this with each connection and says nothing. */
async function listener(t: ExecutionContext, greet: (socket: Socket) => void): Promise<Listener> {
  const hellos: Buffer[] = []
  const sockets = new Set<Socket>()
  const server: NetServer = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', (bytes: Buffer) => {
      hellos.push(bytes)
      greet(socket)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return { url: `mqtt://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`, hellos }
}

interface Endings {
  readonly byName: Map<string, Ending>
  readonly exitCode: number | null
}

/** Runs the program; `serving` is called for each way that succeeds. It must end by itself. */
async function endings(
  t: ExecutionContext,
  ways: Record<string, ServeOptions>,
  serving: (name: string) => unknown = () => {},
): Promise<Endings> {
  const byName = new Map<string, Ending>()
  const child = spawn(process.execPath, ['--import', loader, program, JSON.stringify(ways)], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const closed = once(child, 'close')
  const all = new Promise<void>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      if (line === '"all"') return resolve()
      const ending = JSON.parse(line) as Ending
      if (ending.event === 'serving') serving(ending.name)
      else byName.set(ending.name, ending)
    })
  })
  await within(25_000, () => `all; ended have ${[...byName.keys()].join(', ')}`, Promise.race([all, closed]))
  await within(2_000, 'the end of the process, after all servers have ended', closed)
  return { byName, exitCode: child.exitCode }
}

withMosquitto(
  'each way to fail is told by a coded error of one line, and leaves nothing that keeps the process',
  async (t) => {
    const { ca, otherCa, server, otherHost } = await certificates()
    const tls = { ca: ca.certFile, cert: server.certFile, key: server.keyFile }
    const guarded = await counted(t, { passwords: { alice: 'secret' } })
    const secure = await counted(t, { tls })
    const elsewhere = await counted(t, { tls: { ...tls, cert: otherHost.certFile, key: otherHost.keyFile } })
    const strict = await counted(t, { tls: { ...tls, requireClientCertificate: true } })
    const silent = await listener(t, () => {})
    const closing = await listener(t, (socket) => socket.end())
    const mortal = await startMosquitto()
    t.teardown(() => mortal.stop())
    const before = await recording(t, mortal.port, {})
    const port = await freePort()
    const over = (proxy: FaultProxy, authority = ca): ServeOptions => ({
      broker: { url: `mqtts://localhost:${proxy.port}`, tls: { ca: authority.certFile }, retries: 3 },
    })
    const login = { url: guarded.url, username: 'alice', retries: 3 }
    const ways: Record<string, ServeOptions> = {
      'bad password': { broker: { ...login, password: 'guess-1' } },
      'bad password over 3.1.1': { broker: { ...login, password: 'guess-2', protocolVersion: 4 } },
      'no password': { broker: { url: guarded.url, retries: 0 } },
      'refused port': { broker: { url: `mqtt://127.0.0.1:${port}`, retries: 2 } },
      'wrong CA': over(secure, otherCa),
      'CA for another host': over(elsewhere),
      'no certificate of ours': over(strict),
      'silent server': { broker: { url: silent.url, connectTimeout: 0.3, retries: 1 } },
      'server that closes': { broker: { url: closing.url, retries: 2 } },
      'broker gone for longer than the retries': { broker: { url: before.url, retries: 2 } },
    }
    const { byName, exitCode } = await endings(t, ways, () => Promise.all([before.refuse(), mortal.kill()]))
    const codes = Object.fromEntries([...byName].map(([name, { code }]) => [name, code]))
    t.deepEqual(codes, {
      'bad password': 'ERR_CONNECT_CREDENTIALS',
      'bad password over 3.1.1': 'ERR_CONNECT_CREDENTIALS',
      'no password': 'ERR_CONNECT_CREDENTIALS',
      'refused port': 'ERR_CONNECT_NETWORK',
      'wrong CA': 'ERR_CONNECT_TLS',
      'CA for another host': 'ERR_CONNECT_TLS',
      'no certificate of ours': 'ERR_CONNECT_TLS',
      'silent server': 'ERR_CONNECT_TIMEOUT',
      'server that closes': 'ERR_CONNECT_CLOSED',
      'broker gone for longer than the retries': 'ERR_CONNECT_NETWORK',
    })
    for (const { message = '' } of byName.values()) {
      t.regex(message, /^[A-Z][^\n]{20,300}$/)
      t.notRegex(message, /guess|secret/)
    }
    const told = (name: string): string => byName.get(name)?.message ?? ''
    t.regex(told('refused port'), /Gave up after 2 retries\.$/)
    t.regex(told('broker gone for longer than the retries'), /Gave up after 2 retries\.$/)
    t.regex(told('CA for another host'), /another\.example/)
    // Credentials and certificates are final at once, each time anew.
    t.deepEqual(
      [guarded, secure, elsewhere, strict].map(({ connections }) => connections),
      [3, 1, 1, 1],
    )
    t.is(silent.hellos.length, 2)
    // A server that only closes says nothing of versions: MQTT 5 each time.
    t.deepEqual(closing.hellos.map(protocolLevel), [5, 5, 5])
    t.is(exitCode, 0)
  },
)

for (const [what, greet] of [
  ['waits for the next try', (socket: Socket) => socket.destroy()],
  ['waits for an answer', () => {}],
] as const) {
  test(`a server that ${what} at its start stops at once when told to`, async (t) => {
    const { hellos, url } = await listener(t, greet)
    const log = new KeptLog()
    const settings = resolveOptions({ broker: { url, retries: 0 } })
    const server = await createOurServer(mqttasgi(), settings, {
      log,
      loader: { load: () => Promise.reject(new Error('Nothing is to be loaded.')), files: () => [] },
    })
    const started = t.throwsAsync(server.start(), { code: 'ERR_STOPPED' })
    while (hellos.length === 0) await new Promise((resolve) => setImmediate(resolve))
    const before = performance.now()
    t.deepEqual(await server.stop(), { clean: true, unsettled: 0 })
    t.true(performance.now() - before < 1_000)
    await started
    t.is((await server.closed).error, undefined)
    t.is(server.state, 'closed')
  })
}

const refusals = [
  ['in the words of 3.1.1', undefined],
  ['in the words of MQTT 5', NEW_REFUSAL],
] as const

for (const [how, refusal] of refusals) {
  withMosquitto(`a broker that refuses MQTT 5 ${how} is spoken to in 3.1.1 from then on`, async (t) => {
    const real = await startMosquitto()
    t.teardown(() => real.stop())
    const old = await startOldBroker(t, real.port, refusal)
    const seen = new Tally()
    const app = mqttasgi().topic('a/+b', (ctx) => seen.add(ctx.text()))
    const server = await serving(t, app, { broker: { url: old.url, retries: 0 } })
    await server.publish('a/b', 'before')
    await seen.untilTotal(1)
    // Were it asked again for MQTT 5 it would take it now.
    old.refused = []
    for (let cut = 1; cut <= 2; cut++) {
      old.cut()
      while (server.counters.connects === cut) await new Promise((resolve) => setImmediate(resolve))
      await server.ready()
    }
    await server.publish('a/b', 'after')
    await seen.untilTotal(2)
    t.deepEqual(old.levels, [5, 4, 4, 4])
  })
}

withMosquitto('a broker that has spoken MQTT 5 and then refuses it is not asked for less', async (t) => {
  const real = await startMosquitto()
  t.teardown(() => real.stop())
  const old = await startOldBroker(t, real.port)
  old.refused = []
  const server = await serving(
    t,
    mqttasgi().topic('a', () => {}),
    { broker: { url: old.url, retries: 0 } },
  )
  old.refused = [5]
  old.cut()
  t.is((await server.closed).error?.code, 'ERR_CONNECT_VERSION')
  t.deepEqual(old.levels, [5, 5])
})

withMosquitto(
  'where MQTT 5 was asked for and nothing else, a broker without it is an error at once',
  async (t) => {
    const real = await startMosquitto()
    t.teardown(() => real.stop())
    const old = await startOldBroker(t, real.port)
    await t.throwsAsync(serving(t, mqttasgi(), { broker: { url: old.url, protocolVersion: 5 } }), {
      code: 'ERR_CONNECT_VERSION',
    })
    t.deepEqual(old.levels, [5])
  },
)
