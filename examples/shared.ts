// Shared subscriptions: several processes, each message to one of them. In a checkout, start it as often as you like:
// node --import tsx bin/mqttasgi.ts --url mqtt://localhost:1883 examples/shared.ts
// The embedded broker has no shared subscriptions; mosquitto and most others do.
import { mqttasgi } from 'mqttasgi'

export const app = mqttasgi()

// One member of the group "printers" gets each order.
app.topic('orders/+id', { share: 'printers' }, (ctx) => {
  ctx.log.warn(`process ${process.pid} prints order ${ctx.params.id}`)
})

// A route without a group: every process gets this one.
app.topic('announcements', (ctx) => {
  ctx.log.warn(`process ${process.pid} heard: ${ctx.text()}`)
})
