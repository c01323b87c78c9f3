// Applications that the tests of threads run: one that does its work, and those that end badly.
import { mqttasgi, type Application } from '../../../lib/index.ts'

const retry = { attempts: 2, minDelayMs: 300, jitter: false }

/** Does its work, and says where. */
export const steady: Application = mqttasgi()
steady.topic('steady/+n', async (ctx) => {
  await ctx.publish(`done/${ctx.scope.appId}`, ctx.params.n)
})

/** Computes without end, whenever it is told to. */
export const spinner: Application = mqttasgi({ retry })
spinner.topic('spin/+n', { timeoutMs: 200 }, (ctx) => {
  if (ctx.text() === 'for ever') for (;;);
})
spinner.topic(
  'timer',
  () =>
    void setTimeout(() => {
      for (;;);
    }),
)

const kept: unknown[] = []

/** Keeps more and more. */
export const hoarder: Application = mqttasgi({ retry })
hoarder.topic('heap', () => {
  for (;;) kept.push(Array.from({ length: 1_000 }, (_, at) => ({ at })))
})
hoarder.topic('buffers', async () => {
  for (;;) {
    kept.push(Buffer.alloc(1_048_576, 1))
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
})
hoarder.topic('crash', (ctx) => process.exit(ctx.attempt))
hoarder.topic('well', () => {})
