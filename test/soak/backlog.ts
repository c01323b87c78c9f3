// A broker that sends a whole backlog at once to a consumer with slow handlers: memory must not follow.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mosquittoPath, startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { startWatchedProxy } from '../helpers/wire-watch.ts'
import type { VictimOptions } from '../kill/victim.ts'
import { Victim } from '../kill/victims.ts'
import { faults, inMebibytes, mebibyte, pause, resources, wireFaults, type Soak } from './soak.ts'

const WATCH_MS = 20_000

export const backlog: Soak = {
  name: 'backlog',
  about: '100,000 messages of 1 KiB without a window at the broker, and handlers that take a second',
  lacks: () => (mosquittoPath() === undefined ? 'mosquitto' : undefined),
  run: async ({ backlog: count }) => {
    const folder = await mkdtemp(join(tmpdir(), 'mqttasgi-backlog-'))
    const file = join(folder, 'handled')
    await writeFile(file, '')
    // 3.1.1 has no Receive Maximum, and 0 is no limit.
    const broker = await startMosquitto({ maxQueuedMessages: 0, maxInflight: 0 })
    const proxy = await startWatchedProxy(broker.port)
    const options: VictimOptions = {
      url: proxy.url,
      clientId: 'slow',
      protocolVersion: 4,
      folder,
      file,
      handlerMs: 2_000,
      maxInFlight: 32,
    }
    const first = new Victim(options, () => {})
    let slow: Victim | undefined
    try {
      await first.serve()
      await first.stop()
      const publisher = await startPublisher(broker.url)
      const large = 'x'.repeat(1_024)
      await publisher.many(
        count,
        (i) => `kill/${i}`,
        () => large,
      )
      await publisher.close()
      let handled = 0
      slow = new Victim(options, () => handled++)
      await slow.until(() => slow?.isLoaded === true)
      const before = await resources(slow.pid)
      let ready = 'not in time'
      const begun = performance.now()
      // Not waited for: the answer to SUBSCRIBE stands behind the whole backlog.
      const serving = slow.serve().then(
        () => (ready = `after ${Math.round(performance.now() - begun)} ms`),
        () => (ready = 'never'),
      )
      let most = 0
      for (const from = performance.now(); performance.now() - from < WATCH_MS; await pause(100)) {
        most = Math.max(most, (await resources(slow.pid)).rss)
      }
      await slow.kill()
      await serving
      const growth = most - before.rss
      return {
        figures: {
          handled,
          ready,
          'RSS before MiB': inMebibytes(before.rss),
          'RSS growth MiB': inMebibytes(growth),
        },
        faults: [
          ...wireFaults(proxy.watch),
          ...faults({ 'it handles': handled > 0, 'RSS grows by at most 64 MiB': growth <= 64 * mebibyte }),
        ],
      }
    } finally {
      await slow?.kill()
      await first.kill()
      await proxy.close()
      await broker.stop()
      await rm(folder, { recursive: true, force: true })
    }
  },
}
