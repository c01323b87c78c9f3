// What is told to the broker of subscriptions when the connection comes back.
import test from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import { startMemoryServer, turns } from '../helpers/memory-server.ts'

test('a session that goes on keeps its subscriptions, but shared ones are told again, for mosquitto 2.0 loses them in a restart', async (t) => {
  const app = mqttasgi()
  for (const pattern of ['a', '$share/group/b', 'c/#']) app.topic(pattern, () => {})
  const { server, transport } = await startMemoryServer(t, app)
  transport.info = { ...transport.info, sessionPresent: true }
  transport.calls.length = 0
  transport.lose()
  await turns()
  await server.ready()
  t.deepEqual(transport.calls, ['connect 5', 'subscribe $share/group/b'])
})

test('a session that was lost is subscribed to again as a whole', async (t) => {
  const app = mqttasgi()
  for (const pattern of ['a', '$share/group/b', 'c/#']) app.topic(pattern, () => {})
  const { server, transport } = await startMemoryServer(t, app)
  await server.subscribe('d')
  transport.calls.length = 0
  transport.lose()
  await turns()
  await server.ready()
  t.deepEqual(transport.calls.toSorted(), [
    'connect 5',
    'subscribe $share/group/b',
    'subscribe a',
    'subscribe c/#',
    'subscribe d',
  ])
})
