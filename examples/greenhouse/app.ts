// The application of the greenhouse, as you would write it; `houses.ts` and `beds.ts` are its routers.
import { mqttasgi } from 'mqttasgi'
import { beds } from './beds.ts'
import { houses } from './houses.ts'
import { say } from './say.ts'

const SLOW_MS = 200

export const app = mqttasgi()

// A middleware has each message twice: before everything behind it, and after.
app.use(async (ctx, next) => {
  const start = performance.now()
  await next()
  const ms = performance.now() - start
  if (ms > SLOW_MS) say(ctx, `took ${Math.round(ms)} ms, and nothing else had to wait`)
})

// A router brings its routes; the prefix it is mounted under brings its parameter.
app.use('house/+house', houses)
app.use('bed/+bed', beds)

// What a handler publishes goes to the broker, and comes back where a route wants it: here, to us.
app.topic('alert/+house/+what', (ctx) =>
  say(ctx, `ALERT: ${ctx.params.what} in the ${ctx.params.house} house`),
)
