// Each fault of the proxy is the fault it says it is.
import test, { type ExecutionContext } from 'ava'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { startFaultProxy, type Fault, type FaultProxy } from './fault-proxy.ts'
import { freePort } from './free-port.ts'

/** A server that answers each byte with the same byte, and what it has seen. */
interface Echo {
  readonly port: number
  readonly received: Buffer[]
  readonly sockets: Socket[]
  readonly errors: string[]
}

async function startEcho(t: ExecutionContext): Promise<Echo> {
  const received: Buffer[] = []
  const sockets: Socket[] = []
  const errors: string[] = []
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    sockets.push(socket)
    socket.on('data', (bytes: Buffer) => {
      received.push(bytes)
      socket.write(bytes)
    })
    socket.on('end', () => socket.end())
    socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? ''))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  return { port: typeof address === 'object' ? (address?.port ?? 0) : 0, received, sockets, errors }
}

async function startBoth(t: ExecutionContext): Promise<{ echo: Echo; proxy: FaultProxy }> {
  const echo = await startEcho(t)
  const proxy = await startFaultProxy({ target: echo.port })
  t.teardown(() => proxy.close())
  return { echo, proxy }
}

async function dial(t: ExecutionContext, proxy: FaultProxy): Promise<Socket> {
  const socket = connect({ port: proxy.port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

/** Resolves with all that has come once there are so many bytes. */
function read(socket: Socket, count: number): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const pieces: Buffer[] = []
    const onData = (bytes: Buffer): void => {
      pieces.push(bytes)
      if (Buffer.concat(pieces).length < count) return
      socket.off('data', onData)
      resolve(pieces)
    }
    socket.on('data', onData)
    socket.once('error', reject)
    socket.once('close', () => reject(new Error(`closed after ${Buffer.concat(pieces).length} bytes`)))
  })
}

/** Reads to the end and closes as a client does; an error is an end too. */
function gone(socket: Socket): Promise<void> {
  socket.resume()
  socket.on('error', () => undefined).on('end', () => socket.end())
  return new Promise((resolve) => socket.once('close', () => resolve()))
}

async function echoed(socket: Socket, text: string): Promise<string> {
  const answer = read(socket, text.length)
  socket.write(text)
  return Buffer.concat(await answer).toString()
}

test('bytes pass both ways, and connections are counted', async (t) => {
  const { proxy } = await startBoth(t)
  const first = await dial(t, proxy)
  t.is(await echoed(first, 'hello'), 'hello')
  const second = await dial(t, proxy)
  t.is(await echoed(second, 'again'), 'again')
  t.is(proxy.connections, 2)
  t.is(proxy.open, 2)
})

test('a megabyte passes unharmed', async (t) => {
  const { proxy } = await startBoth(t)
  const socket = await dial(t, proxy)
  const sent = Buffer.alloc(3_000_000, 'abcdefg')
  const answer = read(socket, sent.length)
  socket.write(sent)
  t.true(Buffer.concat(await answer).equals(sent))
})

test('a half-closed connection can still be read to its end', async (t) => {
  const { proxy } = await startBoth(t)
  const socket = await dial(t, proxy)
  const answer = read(socket, 4)
  socket.end('last')
  t.is(Buffer.concat(await answer).toString(), 'last')
  await once(socket, 'close')
})

test('chunks of one byte arrive one by one', async (t) => {
  const { echo, proxy } = await startBoth(t)
  proxy.set('up', { type: 'chunk', bytes: 1 })
  const socket = await dial(t, proxy)
  t.is(await echoed(socket, 'abcdefghij'), 'abcdefghij')
  t.true(echo.received.length > 5, `only ${echo.received.length} pieces`)
})

test('a delayed direction keeps its order and is slower, and goes on at once when the fault ends', async (t) => {
  const { echo, proxy } = await startBoth(t)
  proxy.set('down', { type: 'delay', ms: 50 })
  const socket = await dial(t, proxy)
  const begin = performance.now()
  t.is(await echoed(socket, 'slow'), 'slow')
  t.true(performance.now() - begin >= 49)
  proxy.set('down', { type: 'delay', ms: 3_600_000 })
  const answer = echoed(socket, 'released')
  await once(echo.sockets[0] ?? socket, 'data')
  proxy.set('down', { type: 'pass' })
  t.is(await answer, 'released')
})

for (const direction of ['up', 'down'] as const) {
  test(`swallowing ${direction} loses the bytes and keeps the connection`, async (t) => {
    const { echo, proxy } = await startBoth(t)
    const socket = await dial(t, proxy)
    t.is(await echoed(socket, 'before'), 'before')
    proxy.set(direction, { type: 'swallow' })
    socket.write('lost')
    if (direction === 'down') await once(echo.sockets[0] ?? socket, 'data')
    // Two connections made one after the other take two turns of the loop: by then the proxy has read it.
    await dial(t, proxy)
    const other = await dial(t, proxy)
    proxy.set(direction, { type: 'pass' })
    t.is(await echoed(other, 'other'), 'other')
    t.is(await echoed(socket, 'after'), 'after')
    const seen = Buffer.concat(echo.received).toString()
    t.is(seen.includes('lost'), direction === 'down')
  })
}

test('a swallowed end is passed on when the link is whole again', async (t) => {
  const { echo, proxy } = await startBoth(t)
  const socket = await dial(t, proxy)
  t.is(await echoed(socket, 'x'), 'x')
  proxy.set('up', { type: 'swallow' })
  socket.destroy()
  await once(socket, 'close')
  const server = echo.sockets[0]
  t.is(server?.readableEnded, false)
  const ended = once(server ?? socket, 'end')
  proxy.set('up', { type: 'pass' })
  await t.notThrowsAsync(ended)
})

const cuts: readonly Fault[] = [
  { type: 'cut', afterBytes: 5 },
  { type: 'cut', afterBytes: 5, reset: true },
]

for (const fault of cuts) {
  const how = fault.type === 'cut' && fault.reset === true ? 'RST' : 'FIN'
  test(`a cut up with ${how} passes exactly so many bytes of each connection`, async (t) => {
    const { echo, proxy } = await startBoth(t)
    proxy.set('up', fault)
    for (const expected of ['01234', '0123401234']) {
      const socket = await dial(t, proxy)
      socket.write('0123456789')
      await gone(socket)
      t.is(Buffer.concat(echo.received).toString(), expected)
    }
  })
}

test('a cut down passes exactly so many bytes, once when told so', async (t) => {
  const { proxy } = await startBoth(t)
  proxy.set('down', { type: 'cut', afterBytes: 3, once: true })
  const socket = await dial(t, proxy)
  const pieces: Buffer[] = []
  socket.on('data', (bytes: Buffer) => pieces.push(bytes))
  socket.write('0123456789')
  await gone(socket)
  t.is(Buffer.concat(pieces).toString(), '012')
  const next = await dial(t, proxy)
  t.is(await echoed(next, '0123456789'), '0123456789')
})

test('a reset reaches both sides as ECONNRESET', async (t) => {
  const { echo, proxy } = await startBoth(t)
  const socket = await dial(t, proxy)
  t.is(await echoed(socket, 'x'), 'x')
  const errors: (string | undefined)[] = []
  socket.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code))
  const both = Promise.all([socket, ...echo.sockets].map(gone))
  proxy.reset()
  await both
  t.deepEqual(errors, ['ECONNRESET'])
  t.deepEqual(echo.errors, ['ECONNRESET'])
})

test('a refusing proxy refuses new connections, keeps old ones, and accepts again on the same port', async (t) => {
  const { proxy } = await startBoth(t)
  const { port } = proxy
  const old = await dial(t, proxy)
  t.is(await echoed(old, 'x'), 'x')
  await proxy.refuse()
  await t.throwsAsync(dial(t, proxy), { code: 'ECONNREFUSED' })
  t.is(await echoed(old, 'still'), 'still')
  await proxy.accept()
  t.is(proxy.port, port)
  t.is(await echoed(await dial(t, proxy), 'new'), 'new')
})

test('a server that is down ends the connection of the client', async (t) => {
  const proxy = await startFaultProxy({ target: await freePort() })
  t.teardown(() => proxy.close())
  const socket = await dial(t, proxy)
  await t.notThrowsAsync(gone(socket))
})

test('a closed proxy has no connection left and refuses', async (t) => {
  const { proxy } = await startBoth(t)
  const socket = await dial(t, proxy)
  t.is(await echoed(socket, 'x'), 'x')
  const ended = gone(socket)
  await proxy.close()
  await ended
  t.is(proxy.open, 0)
  await t.throwsAsync(dial(t, proxy), { code: 'ECONNREFUSED' })
})
