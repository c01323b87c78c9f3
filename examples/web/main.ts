// A web server and an MQTT server in one process: a button in the page switches a lamp, and every page sees it. Run it:
// node --import tsx examples/web/main.ts [PORT [mqtt://BROKER]]
import { serve } from 'mqttasgi'
import { startBroker } from 'mqttasgi/broker'
import { app } from './app.ts'
import { startWeb } from './web.ts'

const [port = '8080', url] = process.argv.slice(2)

/** Resolves when this process is to end. */
const asked = new Promise<void>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => resolve())
})

// What is declared later is closed first: the browsers, then what runs, then the broker.
await using broker = await startBroker({ port: 0 })
await using server = await serve(app, { broker: { url: url ?? broker.url } })
await using web = await startWeb(server, Number(port))
console.log(`Lamps on ${web.url}, messages on ${url ?? broker.url}. Ctrl-C ends it.`)

// Also when the broker is lost for good: whoever supervises this process starts it anew.
const closed = await Promise.race([asked, server.closed])
if (closed?.error !== undefined) {
  console.error(closed.error.message)
  process.exitCode = 1
}
