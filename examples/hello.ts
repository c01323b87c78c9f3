// The smallest application: it answers on another topic. Run it in a checkout:
// node --import tsx bin/mqttasgi.ts dev examples/hello.ts
import { mqttasgi } from 'mqttasgi'

export const app = mqttasgi()

app.topic('hello/+name', async (ctx) => {
  await ctx.publish(`greetings/${ctx.params.name}`, `Hello ${ctx.params.name}, you said "${ctx.text()}".`)
})
