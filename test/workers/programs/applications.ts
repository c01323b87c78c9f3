// Applications that tests run in threads: one that works, and several that end badly.
import { parentPort } from 'node:worker_threads'
import { mqttasgi, Drop, MqttConsumer, Reject, Retry, Router, type Application } from '../../../lib/index.ts'

class Hopeless extends Error {}

export const app: Application = mqttasgi({ retry: { attempts: 2, minDelayMs: 1, never: [Hopeless] } })
app.onConnect((client) => client.publish('said', `connected as ${client.constructor.name}`))
app.onDisconnect(({ type }) => void type)
app.onUnmatched((ctx) => {
  throw ctx.topic === 'nobody/final' ? new Hopeless('no use') : new Error('nobody wants it')
})
app.topic('echo/+what', { order: 'key', key: 'what', timeoutMs: 1_000, share: 'group' }, async (ctx) => {
  await ctx.publish(`echoed/${ctx.params.what}`, ctx.payload)
})
app.topic('tell/+what', async (ctx) => {
  const { params, scope, attempt, text } = {
    ...ctx,
    params: ctx.params,
    scope: ctx.scope,
    attempt: ctx.attempt,
    text: ctx.text(),
  }
  await ctx.publish('told', { params, scope, attempt, text, properties: ctx.properties })
})
app.topic('outcome/retry', () => {
  throw new Retry({ afterMs: 70, reason: 'later' })
})
app.topic('outcome/reject', () => {
  throw new Reject('never', { reasonCode: 0x99 })
})
app.topic('outcome/drop', () => {
  throw new Drop('nobody needs it')
})
app.topic('outcome/error', () => {
  throw Object.assign(new TypeError('wrong'), { code: 'E_WRONG' })
})
app.topic('outcome/final', () => {
  throw new Hopeless('no use')
})
app.topic('outcome/json', (ctx) => void ctx.json())
app.topic('extend', async (ctx) => {
  ctx.extend(5_000)
  await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
  await ctx.publish('aborted', String(ctx.signal.reason))
})
app.topic('refused', async (ctx) => {
  await ctx
    .subscribe('a/#/b')
    .catch((error: Error & { code?: string }) => ctx.publish('refusal', String(error.code)))
})
app.topic('late', (ctx) => {
  ctx.app.topic('came/late', () => {})
})
app.topic('log', (ctx) => ctx.log.warn('a word', { error: new Error('why'), deep: { a: 1 }, run: () => {} }))
app.topic('spin', { timeoutMs: 100, retry: { attempts: 2, minDelayMs: 150, jitter: false } }, () => {
  for (;;);
})
app.topic('exit', () => process.exit(7))
app.topic(
  'throw',
  () =>
    void setImmediate(() => {
      throw new Error('nobody caught it')
    }),
)
app.topic(
  'timer',
  () =>
    void setTimeout(() => {
      for (;;);
    }),
)
app.topic('heap', async () => {
  const kept: unknown[] = []
  for (;;) kept.push(Array.from({ length: 1_000 }, (_, at) => ({ at })))
})
const buffers: Buffer[] = []
app.topic('buffers', () => {
  for (let i = 0; i < 40; i++) buffers.push(Buffer.alloc(1_048_576, i))
})

/** Its key is a function. */
export const keyed: Application = mqttasgi()
keyed.topic('a/+b', { key: (ctx) => ctx.params.b }, () => {})

export const router: Router<{ floor: string }> = Router<{ floor: string }>()
router.topic('temp/+room', async (ctx) => void (await ctx.publish('seen', { ...ctx.params })))

export class Leaving extends MqttConsumer {
  override connect(): void {
    throw new Error('no sensor')
  }
  override async disconnect(): Promise<void> {
    await this.publish('state', 'off')
    await this.publish('state', 'last')
  }
}

/** What its handlers do is counted by the server. */
export const counted: Application = mqttasgi()
counted.channel('good', { group: 'counted' }, () => {})
counted.channel('bad', () => Promise.reject(new Error('broken')))
counted.topic('fast', { maxPublishRate: 2 }, async (ctx) => {
  for (let i = 0; i < 5; i++) await ctx.publish('seen', i).catch(() => {})
  ctx.log.info('all were tried')
})

/** Says itself what is to be counted. */
export const forging: Application = mqttasgi()
forging.topic('forge', (ctx) => parentPort?.postMessage({ type: 'counted', counter: ctx.text() }, []))
