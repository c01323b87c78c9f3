// What outlives a process, as the settings ask for it; each store is tested in test/durable.
import test from 'ava'
import { resolveOptions } from '../lib/config/load.ts'
import type { Settings } from '../lib/config/settings.ts'
import { openStores } from '../lib/stores.ts'
import { temporaryFolder } from './helpers/temporary-folder.ts'
import { KeptLog } from './integration/serving.ts'

test('of two processes with one client id the second is told to take another, and that helps', async (t) => {
  const stateDir = temporaryFolder(t)
  const log = new KeptLog()
  const settings = (clientId: string, qos2: 'durable' | 'downgrade'): Settings =>
    resolveOptions({ stateDir, qos2, broker: { clean: false, clientId } })
  const open = async (...[clientId, qos2]: Parameters<typeof settings>): Promise<void> => {
    const stores = await openStores(settings(clientId, qos2), { log, ownsConnection: true })
    t.teardown(async () => {
      await stores.exchanges?.close()
      await stores.close()
    })
  }
  const mend = /is in use by this process\. .*give each process a client id of its own \(broker\.clientId\)/
  await open('hall', 'durable')
  await t.throwsAsync(open('hall', 'durable'), { code: 'ERR_JOURNAL_LOCKED', message: mend })
  t.deepEqual(log.lines, [])
  // Without QoS 2 it is only the ledger of crashes that they can not share.
  await open('hall', 'downgrade')
  t.regex(log.lines.splice(0).join('\n'), mend)
  await open('garden', 'durable')
  t.deepEqual(log.lines, [])
})
