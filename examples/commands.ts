// A command that must arrive, though the broker is away and the program ends before it comes back:
// node --import tsx examples/commands.ts
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mqttasgi, serve } from 'mqttasgi'
import { startBroker } from 'mqttasgi/broker'

// The outbox on disk. In a real program the folder stays where it is: stateDir is .mqttasgi unless said otherwise.
const stateDir = mkdtempSync(join(tmpdir(), 'mqttasgi-commands-'))
const broker = await startBroker({ port: 0 })
const options = { broker: { url: broker.url, retries: 0 }, outbox: { durable: true }, stateDir }

// The one who commands. Nobody is there to hear it.
const commander = await serve(mqttasgi(), options)
await broker.close()
const { stored } = await commander.publish('valves/7/set', 'open', { until: 'stored' })
console.log(stored === true ? 'the command is on disk' : 'the broker has the command')
await commander.stop()

// Later: the broker is back, and so is the valve.
const again = await startBroker({ port: broker.port })
let tell: (said: string) => void = () => {}
const heard = new Promise<string>((resolve) => (tell = resolve))
const valve = mqttasgi()
valve.topic('valves/+id/set', (ctx) => tell(`valve ${ctx.params.id} hears: ${ctx.text()}`))
const valves = await serve(valve, { broker: { url: again.url } })

// The one who commands starts again, and says nothing: what is on disk goes out by itself.
const restarted = await serve(mqttasgi(), options)
console.log(await heard)
await Promise.all([valves.stop(), restarted.stop()])
await again.close()
rmSync(stateDir, { recursive: true })
