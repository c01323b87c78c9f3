// The layer over a real broker, on connections of its own: the contract, on both versions of MQTT.
import type { ExecutionContext } from 'ava'
import { setTimeout as wait } from 'node:timers/promises'
import { channelLayer } from '../../lib/channel-layer.ts'
import type { ChannelLayer, ChannelLimits } from '../../lib/core/channel-layer.ts'
import { silentLog } from '../../lib/core/log.ts'
import { channelLayerContract, type LayersSetup } from '../contract/channel-layer.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { serverTest } from '../helpers/server-test.ts'

const test = serverTest('mosquitto')

for (const protocolVersion of [5, 4] as const) {
  const open = async (t: ExecutionContext, limits: ChannelLimits = {}): Promise<LayersSetup> => {
    const broker = await startMosquitto()
    t.teardown(() => broker.stop())
    const layer = async (): Promise<ChannelLayer> => {
      const opened = await channelLayer({
        broker: { url: broker.url, protocolVersion },
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
}
