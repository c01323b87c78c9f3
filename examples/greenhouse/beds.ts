// The routes of one bed: it is watered when it gets too dry.
import { Router } from 'mqttasgi'
import { say } from './say.ts'
import { openValve } from './valve.ts'

const TOO_DRY = 30

export const beds = Router<{ bed: string }>()

// A valve that is stuck is not forced: no second attempt, the next reading will ask for water again.
const once = { attempts: 1 }

beds.topic('moisture', { description: 'Waters the bed', retry: once }, async (ctx) => {
  const percent = Number(ctx.text())
  const { bed } = ctx.params
  if (percent >= TOO_DRY) return say(ctx, `${percent} % moist`)
  say(ctx, `${percent} % moist, too dry: open the valve`)
  // When this throws, the message has failed: that is logged and counted, and the next one is handled.
  await openValve(bed, ctx.signal)
  await ctx.publish(`bed/${bed}/water`, { litres: 2 })
})

beds.topic('water', (ctx) => say(ctx, `watered with ${ctx.json<{ litres: number }>().litres} litres`))
