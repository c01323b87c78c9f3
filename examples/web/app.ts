// The application: what it hears of lamps goes to a group, for every browser that looks on; `main.ts` runs it.
import { mqttasgi, MqttasgiError } from 'mqttasgi'

export const app = mqttasgi()

/** What is known of each lamp, for browsers that come later. */
export const lamps = new Map<string, string>()

app.topic('lamps/+lamp/state', async (ctx) => {
  const { lamp } = ctx.params
  lamps.set(lamp, ctx.text())
  try {
    await ctx.channels.groupSend('lamps', { type: 'lamp.changed', lamp, state: ctx.text() })
  } catch (error) {
    // A browser that does not keep up is no reason to tell all the others once more.
    if (!(error instanceof MqttasgiError) || error.code !== 'ERR_CHANNEL_FULL') throw error
    ctx.log.warn(`${lamp}: ${error.message}`)
  }
})

// The lamps themselves, which real ones would be: they do as they are told, and say so.
app.topic('lamps/+lamp/set', async (ctx) => {
  await ctx.publish(`lamps/${ctx.params.lamp}/state`, ctx.payload, { retain: true })
})
