// Routers: one is mounted in two places, and the compiler checks that its parameters are there.
// Run it in a checkout: node --import tsx bin/mqttasgi.ts routes examples/routers.ts
import { mqttasgi, Router } from 'mqttasgi'

// It says which parameters the prefix has to bring; its own routes add theirs.
const lamps = Router<{ room: string }>()

lamps.topic('lamp/+lamp/set', (ctx) => {
  const { room, lamp } = ctx.params
  ctx.log.info(`${ctx.route}: lamp ${lamp} in ${room} goes ${ctx.text()}`)
})

// The empty pattern is the prefix itself.
lamps.topic('', (ctx) => ctx.log.info(`${ctx.route}: ${ctx.params.room} says ${ctx.text()}`))

// Middleware of a router runs for what is below its prefix. Its onError is the first to see what fails in it.
lamps.use(async (ctx, next) => {
  ctx.state['room'] = ctx.params.room
  await next()
})
lamps.topic('lamp/+lamp/broken', (ctx) => {
  throw new Error(`the lamp in ${String(ctx.state['room'])} is broken`)
})
lamps.onError((error, ctx) => ctx.log.warn(`${ctx.topic}: ${error.message}`))

export const app = mqttasgi()
app.use('house/+room', lamps)
app.use('garden/shed/+room', lamps)
