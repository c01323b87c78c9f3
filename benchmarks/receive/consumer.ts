// One subscriber in a process of its own: bare MQTT.js, or mqttasgi with middleware and a hundred routes.
import { connect } from 'mqtt'
import { mqttasgi, serve, type Application } from '../../lib/index.ts'

/**
 * Who receives. `sync` and `async` say how the middleware and the handler are written; `bareAsync` calls the same
 * functions as `async` from the listener of a bare client, by hand and without looking at what becomes of them.
 */
export type ConsumerKind = 'bare' | 'bareAsync' | 'sync' | 'async'

/** What the parent asks for: `count` begins a count, `finish` ends it when nothing more comes. */
export type Order = { readonly type: 'count'; readonly count: number } | { readonly type: 'finish' }

/** What the consumer saw: from the first to the last message, and the CPU time the process took. */
export interface Counted {
  readonly received: number
  readonly ms: number
  readonly cpuMs: number
}

const ROUTES = 100
const [kind, url, version, qosText] = process.argv.slice(2)
const qos = qosText === '1' ? 1 : 0
const protocolVersion = version === '4' ? 4 : 5

const SILENCE_MS = 500

let count = 0
let received = 0
let begin = 0
let cpu = process.cpuUsage()

function onMessage(): void {
  if (received === 0) {
    begin = performance.now()
    cpu = process.cpuUsage()
  }
  if (++received === count) report(performance.now())
}

function report(end: number): void {
  const { user, system } = process.cpuUsage(cpu)
  const counted: Counted = { received, ms: end - begin, cpuMs: (user + system) / 1000 }
  count = 0
  process.send?.(counted)
}

// At QoS 0 a broker drops what does not fit, so the count may never be full: silence ends it too.
function finish(before: number): void {
  if (count === 0) return
  const now = performance.now()
  if (received === before) report(now - SILENCE_MS)
  else setTimeout(finish, SILENCE_MS, received)
}

process.on('message', (order: Order) => {
  if (order.type === 'finish') return finish(-1)
  count = order.count
  received = 0
  process.send?.('counting')
})

async function bare(listener: (topic: string) => void): Promise<void> {
  const client = connect(url ?? '', { protocolVersion })
  client.on('message', listener)
  await client.subscribeAsync('sensors/+/temp', { qos })
}

// The least that three layers and a handler can be.
const layer = async (next: () => Promise<void>): Promise<void> => await next()

function onMessageInLayers(topic: string): void {
  void layer(() =>
    layer(() =>
      layer(() => {
        if (topic.length > 0) onMessage()
        return Promise.resolve()
      }),
    ),
  )
}

// Every hundredth message matches one of a hundred routes; three middlewares come before all of them.
function application(middleware: 'sync' | 'async'): Application {
  const app = mqttasgi()
  for (let i = 0; i < 3; i++) {
    if (middleware === 'sync') app.use((_ctx, next) => next())
    else app.use(async (_ctx, next) => await next())
  }
  for (let i = 1; i < ROUTES; i++) app.topic(`plant/line-${i}/+machine/state`, { qos }, () => {})
  app.topic('sensors/+room/temp', { qos }, (ctx) => {
    if (ctx.params.room.length > 0) onMessage()
    return middleware === 'async' ? Promise.resolve() : undefined
  })
  return app
}

if (kind === 'bare') await bare(onMessage)
else if (kind === 'bareAsync') await bare(onMessageInLayers)
else
  await serve(application(kind === 'async' ? 'async' : 'sync'), {
    broker: { url, protocolVersion },
    log: { debug() {}, info() {}, warn() {}, error: console.error },
  })
process.send?.('ready')
process.once('disconnect', () => process.exit(0))
