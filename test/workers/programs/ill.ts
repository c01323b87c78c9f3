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
