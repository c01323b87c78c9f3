// The layer over a real broker, on connections of its own: the contract, on both versions of MQTT.
import type { ExecutionContext } from 'ava'
import { setTimeout as wait } from 'node:timers/promises'
import { channelLayer } from '../../lib/channel-layer.ts'
import type { ChannelLayer, ChannelLimits } from '../../lib/core/channel-layer.ts'
import { silentLog } from '../../lib/core/log.ts'
import { mqttasgi } from '../../lib/core/application.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { serve } from '../../lib/serve.ts'
import { channelLayerContract, type LayersSetup } from '../contract/channel-layer.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { recordedUrl } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { KeptLog, newClientId } from '../integration/serving.ts'

const test = serverTest('mosquitto')

for (const protocolVersion of [5, 4] as const) {
  const open = async (t: ExecutionContext, limits: ChannelLimits = {}): Promise<LayersSetup> => {
    const broker = await startMosquitto()
    t.teardown(() => broker.stop())
    const url = await recordedUrl(t, broker.url)
    const layer = async (): Promise<ChannelLayer> => {
      const opened = await channelLayer({
        broker: { url, protocolVersion },
        channels: { layer: 'mqtt', ...limits },
        log: silentLog,
      })
      t.teardown(() => opened.close())
      return opened
    }
    const [here, there] = [await layer(), await layer()]
    return {
      here,
      there,
      wait: (ms) => wait(ms),
      // What one asks the other for comes behind what it has sent, and is granted with all that was asked for before.
      arrived: async () => {
        await here.groupAdd('arrived', await there.newChannel())
        await there.groupAdd('arrived', await here.newChannel())
      },
      knowsRoom: false,
    }
  }
  channelLayerContract(test, `mqtt on mosquitto, MQTT ${protocolVersion}`, open)

  for (const leave of [false, true]) {
    test(`a restart in a session that is kept says nothing, and no event waits in it meanwhile, ${leave ? 'also of an instance that has left' : 'as of any that has stopped'} (MQTT ${protocolVersion})`, async (t) => {
      const broker = await startMosquitto()
      t.teardown(() => broker.stop())
      const url = await recordedUrl(t, broker.url)
      const options = {
        broker: { url, protocolVersion, clientId: newClientId(), clean: false },
        channels: { layer: 'mqtt' },
        stateDir: temporaryFolder(t),
        log: new KeptLog(),
      } as const
      const got: unknown[] = []
      const heard = new Deferred()
      const app = mqttasgi().channel('news', { group: 'all' }, ({ number }) => {
        if (got.push(number) === 2) heard.resolve()
      })
      const sender = await channelLayer({ ...options, broker: { url, protocolVersion } })
      t.teardown(() => sender.close())
      const send = (number: number): Promise<void> => sender.groupSend('all', { type: 'news', number })
      await send(0)
      const first = await serve(app, options)
      await first.ready()
      await send(1)
      while (got.length === 0) await wait(5)
      const job = first.channels.receive('jobs')
      for (let isThere = false; !isThere;) {
        await sender.send('jobs', { type: 'job' }).catch(() => {})
        isThere = await Promise.race([job.then(() => true), wait(50, false)])
      }
      t.deepEqual(await first.stop({ leave }), { clean: true, unsettled: 0 })
      await send(2)
      const second = await serve(app, options)
      await second.ready()
      await send(3)
      await heard.promise
      await second.stop()
      t.deepEqual(got, [1, 3])
      t.deepEqual(
        options.log.lines.filter((line) => /^(?:warn|error)/.test(line)),
        [],
      )
    })
  }
}
