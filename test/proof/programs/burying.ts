// Can handle nothing that comes to bad/#, so that all of it becomes dead letters; made to be killed. Argument: its options.
import { mqttasgi, Reject, serve, type ServeOptions } from '../../../lib/index.ts'

const app = mqttasgi()
app.topic('bad/#', () => {
  throw new Reject('never')
})
await serve(app, JSON.parse(process.argv[2] ?? '{}') as ServeOptions)
process.stdout.write('serving\n')
