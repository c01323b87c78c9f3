// The application of examples/database on a kept session: node programs/readings.ts BROKER DATABASE STATE-DIR [kill].
import { mqttasgi, serve } from 'mqttasgi'
import { application } from '../../../examples/database/app.ts'
import { openDatabase } from '../../../examples/database/database.ts'

const [, , url = '', place, stateDir = '', kill] = process.argv
const { db, close } = await openDatabase(place)

const app = mqttasgi()
app.use(async (ctx, next) => {
  await next()
  // The transaction is committed, and the message is not acknowledged yet.
  console.log(`committed ${ctx.topic}`)
  if (kill !== undefined) process.kill(process.pid, 'SIGKILL')
})
app.use(application(db))

const running = serve(app, { broker: { url, clientId: 'readings', clean: false, retries: 0 }, stateDir })
process.once('SIGTERM', () => void running.then((server) => server.stop()).then(close))
await running
console.log('subscribed')
