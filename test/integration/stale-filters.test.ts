// A release that wants other filters than the one before, in one kept session on a real broker.
import { mqttasgi } from '../../lib/index.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { KeptLog, newClientId, serving } from './serving.ts'
import { Tally } from './tally.ts'

for (const protocolVersion of [5, 4] as const) {
  serverTest('mosquitto')(
    `what the release before has left in the session is unsubscribed, and what waited is not lost (MQTT ${protocolVersion})`,
    async (t) => {
      const broker = await startMosquitto()
      t.teardown(() => broker.stop())
      const publisher = await startPublisher(broker.url)
      t.teardown(() => publisher.close())
      const log = new KeptLog()
      const options = {
        broker: { url: broker.url, protocolVersion, clientId: newClientId(), clean: false },
        stateDir: temporaryFolder(t),
        log,
      } as const
      const before = mqttasgi()
      before.topic('old/+', () => {})
      before.topic('both', () => {})
      const first = await serving(t, before, options)
      await first.stop()
      await publisher.publish('old/1', 'waiting')
      await publisher.publish('both', 'waiting')

      const seen = new Tally()
      const after = mqttasgi()
      after.topic('both', (ctx) => seen.add(`both ${ctx.text()}`))
      after.onUnmatched((ctx) => seen.add(`unmatched ${ctx.text()}`))
      const second = await serving(t, after, options)
      await publisher.publish('old/2', 'published')
      await publisher.publish('both', 'published')
      await seen.untilTotal(3)
      await second.stop()
      t.deepEqual(second.counters.stale, 1)
      t.is(second.counters.received, 3)
      t.true(log.lines.some((line) => line.includes('still held "old/+"')))
      t.true(log.lines.some((line) => line.includes('"old/1", most likely over "old/+"')))
    },
  )
}
