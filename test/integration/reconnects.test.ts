// Fifty reconnects leave nothing behind. A thousand are made by npm run soak.
import { startMosquitto } from '../helpers/mosquitto.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { reconnect } from '../soak/reconnects.ts'

const withMosquitto = serverTest('mosquitto')

withMosquitto.serial('fifty reconnects leave no descriptor, no handle and no listener behind', async (t) => {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const proxy = await recording(t, broker.port)
  const { after, before, connects, warnings } = await reconnect(proxy, 50)
  t.true(connects >= 51)
  t.deepEqual(warnings, [])
  // What a connection before is still closing in the proxy.
  t.true(after.descriptors - before.descriptors <= 4, `${before.descriptors} › ${after.descriptors}`)
  t.true(after.handles - before.handles <= 4, `${before.handles} › ${after.handles}`)
})
