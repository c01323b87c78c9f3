// Readings in a database, once each, though one is sent twice; without an argument the database is in this process:
// node --import tsx examples/database/main.ts [postgres://user:password@host/database | FOLDER]
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from 'mqttasgi'
import { startBroker } from 'mqttasgi/broker'
import { application } from './app.ts'
import { openDatabase } from './database.ts'
import { sensors } from './schema.ts'

const { db, close } = await openDatabase(process.argv[2])
const broker = await startBroker({ port: 0 })
// For the dead letters. In a real program it stays where it is: stateDir is .mqttasgi unless said otherwise.
const stateDir = mkdtempSync(join(tmpdir(), 'mqttasgi-database-'))

const app = application(db)
let hear: (what: string) => void = () => {}
const alarm = new Promise<string>((resolve) => (hear = resolve))
app.topic('alarms/+sensor', (ctx) => hear(`alarm of ${ctx.params.sensor}: ${ctx.text()}`))
const server = await serve(app, { broker: { url: broker.url }, stateDir })

// One topic, so they are handled one after the other.
const topic = 'sensors/hall/readings'
await server.publish(topic, { id: '1', celsius: 21.5 })
await server.publish(topic, { id: '1', celsius: 21.5 })
await server.publish(topic, 'this is no reading')
await server.publish(topic, { id: '2', celsius: 85 })
console.log(await alarm)
await server.stop()

for (const row of await db.select().from(sensors)) {
  console.log(`${row.sensor}: ${row.readings} readings, the last one ${row.celsius} °C`)
}
console.log(`${server.counters.deadLettered} dead letter`)
await close()
await broker.close()
rmSync(stateDir, { recursive: true })
