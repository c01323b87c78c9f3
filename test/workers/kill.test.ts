// Workers in threads that are ended, or whose server is, while they are still being started.
import test from 'ava'
import { mqttasgi } from '../../lib/index.ts'
import { crewedServer } from '../helpers/crewed-server.ts'
import { within } from '../integration/tally.ts'

const programs = new URL('programs/', import.meta.url).pathname
const endless = `${programs}endless.ts#endless`

test('kill() ends a thread that is being started, and its id is free', async (t) => {
  const { server } = await crewedServer(t, mqttasgi())
  const spawned = server.spawn('one', endless, { thread: true, instances: 2 })
  await within(10_000, 'the end of the worker', server.kill('one'))
  await t.throwsAsync(spawned, { code: 'ERR_RECEIVER_DETACHED', message: /kill\(\)/ })
  t.deepEqual(server.workers(), [])
  await server.spawn('one', mqttasgi())
})

test('stop() ends a thread that is being started', async (t) => {
  const { server } = await crewedServer(t, mqttasgi())
  const spawned = server.spawn('one', endless, { thread: true })
  await within(10_000, 'the end of the server', server.stop())
  await t.throwsAsync(spawned, { code: 'ERR_STOPPED', message: /the server stops/ })
})
