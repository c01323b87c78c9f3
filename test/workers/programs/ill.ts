// Applications that do their worker harm, each in a way of its own.
import { mqttasgi, type Application } from '../../../lib/index.ts'

/** Adds a route that can not be shared, when it is told to. */
export const unshareable: Application = mqttasgi()
unshareable.topic('good/+n', async (ctx) => void (await ctx.publish('done', ctx.params.n)))
unshareable.topic('go', { retry: { attempts: 1 } }, () => {
  try {
    unshareable.topic('bad', { noLocal: true }, () => {})
  } catch {
    // The worker must not depend on who hears of it.
  }
})

/** Ends its thread at some messages, always. */
export const fragile: Application = mqttasgi({ retry: { minDelayMs: 1 } })
fragile.topic('images/good/+n', async (ctx) => void (await ctx.publish('done', ctx.params.n)))
fragile.topic('images/+n', () => process.exit(3))

/** Ends by itself soon after its start, whatever it is given. */
export const mortal: Application = mqttasgi({ retry: { minDelayMs: 1 } })
mortal.onConnect(() => void setTimeout(() => process.exit(4), 100))
mortal.topic('jobs/+n', async () => {
  await new Promise((resolve) => setTimeout(resolve, 20))
})
