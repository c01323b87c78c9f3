// The routes of one house: its window is opened when it gets too warm, and somebody is told.
import { Router } from 'mqttasgi'
import { say } from './say.ts'

const TOO_WARM = 30
const COOL_AGAIN = 25

const open = new Set<string>()

export const houses = Router<{ house: string }>()

houses.topic('temperature', { description: 'Opens and closes the window' }, async (ctx) => {
  const { celsius } = ctx.json<{ celsius: number }>()
  const { house } = ctx.params
  const reading = `${celsius.toFixed(1)} °C`
  if (celsius > TOO_WARM && !open.has(house)) {
    open.add(house)
    say(ctx, `${reading}, too warm: open the window`)
    await ctx.publish(`alert/${house}/heat`, { celsius })
    await ctx.publish(`house/${house}/window/set`, 'open')
  } else if (celsius < COOL_AGAIN && open.delete(house)) {
    say(ctx, `${reading}, cool again: close the window`)
    await ctx.publish(`house/${house}/window/set`, 'closed')
  } else {
    say(ctx, reading)
  }
})

houses.topic('window', (ctx) => say(ctx, `the window is ${ctx.text()}`))
