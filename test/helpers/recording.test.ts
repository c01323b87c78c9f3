// A client that breaks the rules is reported over every way that a server can take to its broker.
import test, { type ExecutionContext } from 'ava'
import { channel } from 'node:diagnostics_channel'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import type { TlsOptions as ListenTls } from 'node:tls'
import { generate, parser, type Packet } from 'mqtt-packet'
import { resolveOptions } from '../../lib/config/load.ts'
import type { ServeOptions } from '../../lib/index.ts'
import { openSocket, type BrokerAddress } from '../../lib/transport/socket.ts'
import { certificates, type Certificate } from './certificates.ts'
import { recorded, recordedUrl, recording } from './recording.ts'
import { startScriptedBroker, type Listen } from './scripted-broker.ts'
import { temporaryFolder } from './temporary-folder.ts'

type Connection = NonNullable<ServeOptions['broker']>

interface Way {
  readonly listen: Listen
  /** What a server would be told. */
  readonly broker: (port: number) => Connection
  readonly certificate?: Certificate
}

const ways: Record<string, (t: ExecutionContext) => Promise<Way>> = {
  TCP: async () => ({ listen: {}, broker: (port) => ({ url: `mqtt://127.0.0.1:${port}` }) }),
  'TCP, by host and port': async () => ({ listen: {}, broker: (port) => ({ host: '127.0.0.1', port }) }),
  TLS: async () => {
    const { ca, server } = await certificates()
    const tls = { ca: ca.certFile }
    return { listen: { tls: server }, broker: (port) => ({ url: `mqtts://localhost:${port}`, tls }) }
  },
  'TLS, by host and port': async () => {
    const { ca, server } = await certificates()
    const tls = { ca: ca.certFile }
    return { listen: { tls: server }, broker: (port) => ({ host: 'localhost', port, tls }) }
  },
  'TLS in both directions': async () => {
    const { ca, client } = await certificates()
    const tls = { ca: ca.certFile, cert: client.certFile, key: client.keyFile }
    const broker = (port: number): Connection => ({ url: `mqtts://localhost:${port}`, tls })
    return { listen: { tls: await mutual() }, broker, certificate: client }
  },
  websockets: async () => ({
    listen: { over: 'websocket' },
    broker: (port) => ({ url: `ws://127.0.0.1:${port}/mqtt` }),
  }),
  'websockets over TLS': async () => {
    const { ca, server } = await certificates()
    const tls = { ca: ca.certFile }
    return {
      listen: { over: 'websocket', tls: server },
      broker: (port) => ({ url: `wss://localhost:${port}`, tls }),
    }
  },
  'a unix socket': async (t) => {
    const path = join(temporaryFolder(t), 'broker')
    return { listen: { over: 'unix', path }, broker: () => ({ url: `unix://${path}` }) }
  },
}

/** A broker that speaks only with those who have a certificate by its authority. */
async function mutual(): Promise<ListenTls> {
  const { ca, server } = await certificates()
  return { ...server, ca: ca.cert, requestCert: true, rejectUnauthorized: true }
}

/** Something that ends before the test does; `end` rejects with what was seen on the wire. */
class Inner {
  readonly #ends: (() => unknown)[] = []

  teardown(end: () => unknown): void {
    this.#ends.push(end)
  }

  async end(): Promise<void> {
    const ends = await Promise.allSettled(this.#ends.toReversed().map(async (end) => await end()))
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }
}

async function addressOf(broker: Connection, certificate?: Certificate): Promise<BrokerAddress> {
  const { host, port, socketPath, tls, transport, wsPath } = resolveOptions({ broker }).broker
  if (socketPath !== undefined) return { type: 'unix', path: socketPath }
  const { ca } = await certificates()
  const secure = tls === undefined ? undefined : { ca: ca.cert, ...certificate }
  if (transport === 'tcp') return { type: 'tcp', host, port, tls: secure }
  return { type: 'websocket', host, port, path: wsPath, tls: secure }
}

interface Client {
  readonly stream: Duplex
  readonly write: (...packets: Packet[]) => void
  /** The packet ids of what came, when there are so many. */
  readonly came: (count: number) => Promise<number[]>
  readonly closed: Promise<unknown>
}

function client(t: ExecutionContext, address: BrokerAddress): Client {
  const stream = openSocket(address)
  t.teardown(() => stream.destroy())
  const reader = parser({ protocolVersion: 5 })
  const ids: number[] = []
  const watchers = new Set<() => void>()
  reader.on('packet', (packet) => {
    if (packet.cmd === 'publish') ids.push(packet.messageId ?? 0)
    for (const look of watchers) look()
  })
  stream.on('data', (bytes: Buffer) => reader.parse(bytes))
  stream.on('error', () => {})
  const write = (...packets: Packet[]): void => {
    stream.write(Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: 5 }))))
  }
  write({ cmd: 'connect', clientId: 'broken', clean: true, keepalive: 0, protocolVersion: 5 })
  const came = (count: number): Promise<number[]> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (ids.length >= count) resolve(ids)
      }
      watchers.add(look)
      look()
    })
  return { stream, write, came, closed: new Promise((resolve) => stream.once('close', resolve)) }
}

function settled(topic: string, payload: string): void {
  channel('mqttasgi:settled').publish({ message: { topic, payload: Buffer.from(payload) } })
}

function puback(messageId: number): Packet {
  return { cmd: 'puback', messageId, reasonCode: 0 }
}

const letter = { qos: 1, dup: false, retain: false } as const

for (const [name, wayOf] of Object.entries(ways)) {
  test(`over ${name} acknowledgements out of order and for nothing are reported, with many and large messages`, async (t) => {
    const { broker, certificate, listen } = await wayOf(t)
    const inner = new Inner()
    const real = await startScriptedBroker(t, {}, listen)
    const { stream, write, came, closed } = client(
      t,
      await addressOf(await recorded(inner, broker(real.port), {}), certificate),
    )
    const link = await real.link()
    await link.next('connect')
    // Each size that the length of a frame can be written in.
    for (const [i, size] of [1, 200, 70_000].entries()) {
      link.deliver('t', 'x'.repeat(size), { ...letter, messageId: i + 1 })
    }
    t.deepEqual(await came(3), [1, 2, 3])
    write(puback(2), puback(1), puback(3), puback(9))
    await link.until(() => (link.acked().length === 4 ? true : undefined))
    stream.end()
    stream.destroy()
    await closed
    await t.throwsAsync(inner.end(), {
      message:
        'On the wire: order on connection 1: PUBACK 2: message 1 was received before it; ' +
        'unknown on connection 1: PUBACK 9: no such message was received',
    })
  })

  test(`over ${name} a client that keeps to the rules is not reported`, async (t) => {
    const { broker, certificate, listen } = await wayOf(t)
    const inner = new Inner()
    const real = await startScriptedBroker(t, {}, listen)
    const address = await addressOf(await recorded(inner, broker(real.port)), certificate)
    const { write, came } = client(t, address)
    const link = await real.link()
    await link.next('connect')
    for (const messageId of [1, 2]) link.deliver('t', name, { ...letter, messageId })
    await came(2)
    // The word of a server that is done with them.
    for (const _ of [1, 2]) settled('t', name)
    write(puback(1), puback(2))
    await link.until(() => (link.acked().length === 2 ? true : undefined))
    await t.notThrowsAsync(inner.end())
  })
}

test('a server that should show a certificate and does not is refused by the proxy as by its broker', async (t) => {
  const { ca, client: own } = await certificates()
  const real = await startScriptedBroker(t, {}, { tls: await mutual() })
  const tls = { ca: ca.certFile, cert: own.certFile, key: own.keyFile }
  const inner = new Inner()
  const address = await addressOf(await recorded(inner, { url: `mqtts://localhost:${real.port}`, tls }))
  await client(t, address).closed
  t.deepEqual(real.links, [])
  await t.throwsAsync(inner.end(), { message: /nobody has connected/ })
})

test('what is behind a proxy already is not put behind another, and an address has one for the whole test', async (t) => {
  const real = await startScriptedBroker(t)
  const inner = new Inner()
  const url = `mqtt://127.0.0.1:${real.port}`
  const once = await recordedUrl(inner, url)
  t.not(once, url)
  t.is(await recordedUrl(inner, once), once)
  t.is(await recordedUrl(inner, url), once)
  const written = await recording(inner, real.port)
  t.is(await recordedUrl(inner, written.url), written.url)
  await t.throwsAsync(inner.end(), { message: /nobody has connected/ })
})

test('a broker by an address without a port is put behind one too, and whoever passes it by is noticed', async (t) => {
  for (const url of [
    'mqtt://127.0.0.1',
    'mqtt://user:1@127.0.0.1',
    'mqtt://[::1]',
    'ws://127.0.0.1/mqtt?a=b',
  ]) {
    const inner = new Inner()
    const moved = new URL(await recordedUrl(inner, url))
    t.regex(moved.port, /^\d{4,5}$/)
    moved.port = ''
    t.is(moved.href, new URL(url).href)
    await t.throwsAsync(inner.end(), { message: /nobody has connected/ })
  }
})

test('where no address is given nothing is put between', async (t) => {
  t.deepEqual(await recorded(t, { clientId: 'one' }), { clientId: 'one' })
})

// --- nobody passes by -----------------------------------------------------------------------------

const startsBroker = /\bstart(?:Mosquitto|Nats|Rabbitmq|Ejabberd|Broker|StrictBroker)\(|\bkinds\b/
const connects =
  /\b(?:serve|servingDirectly|runHere|runProcess|startScript|channelLayer)\(|\bnew (?:Server|MqttTransport|Victim)\(/
const watches = /\/(?:recording|wire-watch|wire-log|serving|scene|wire|suite|harness)\.ts'/

/** Whether this source starts a broker and connects something of ours, and has nothing that looks on. */
function isUnwatched(source: string): boolean {
  return startsBroker.test(source) && connects.test(source) && !watches.test(source)
}

/** Where nothing is put between, and why. */
const exempt: Readonly<Record<string, string>> = {
  'brokers/cut.test.ts': 'the strict broker looks by itself',
  'threats/t19-embedded-broker.test.ts': 'nobody connects to the broker that it starts',
}

test('every file of the tests that starts a broker and a server has somebody who looks on, or a reason', (t) => {
  const served = 'const { url } = await startMosquitto()\nawait serve(app, { broker: { url } })'
  t.true(isUnwatched(served))
  t.false(isUnwatched(`import { recordedUrl } from '../helpers/recording.ts'\n${served}`))
  const folder = join(import.meta.dirname, '..')
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  )
  const found = files.filter((name) => isUnwatched(readFileSync(join(folder, name), 'utf8')))
  t.deepEqual(found.toSorted(), Object.keys(exempt))
})
