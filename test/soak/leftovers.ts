// A connection that is cut a thousand times: no descriptor, handle or memory may be left of one.
import { mosquittoPath, startMosquitto } from '../helpers/mosquitto.ts'
import { startWatchedProxy } from '../helpers/wire-watch.ts'
import { reconnect } from './reconnects.ts'
import { faults, inMebibytes, mebibyte, wireFaults, type Soak } from './soak.ts'

export const leftovers: Soak = {
  name: 'reconnects',
  about: 'a connection that is cut again and again leaves nothing behind',
  lacks: () => (mosquittoPath() === undefined ? 'mosquitto' : undefined),
  run: async ({ reconnects }) => {
    const broker = await startMosquitto()
    const proxy = await startWatchedProxy(broker.port)
    try {
      const { after, before, connects, warnings } = await reconnect(proxy, reconnects)
      const growth = after.heap - before.heap
      return {
        figures: {
          connects,
          descriptors: `${before.descriptors}, then ${after.descriptors}`,
          handles: `${before.handles}, then ${after.handles}`,
          'heap growth MiB': inMebibytes(growth),
        },
        faults: [
          ...wireFaults(proxy.watch),
          ...faults({
            'descriptors stay within 2': Math.abs(after.descriptors - before.descriptors) <= 2,
            'handles stay within 2': Math.abs(after.handles - before.handles) <= 2,
            'the heap grows by less than 4 MiB': growth < 4 * mebibyte,
            // Node warns of an emitter with more than ten listeners.
            'there is no warning': warnings.length === 0,
          }),
        ],
      }
    } finally {
      await proxy.close()
      await broker.stop()
    }
  },
}
