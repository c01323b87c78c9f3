// A password that is replaced while we run: the next connection has the new one.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { mqttasgi, type ServeOptions } from '../../lib/index.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { KeptLog, newClientId, serving } from './serving.ts'
import { within } from './tally.ts'

const withMosquitto = serverTest('mosquitto')

/** `replace` makes the password another one for us. */
async function rotation(
  t: ExecutionContext,
  given: NonNullable<ServeOptions['broker']>,
  replace: (password: string) => void,
): Promise<void> {
  const broker = await startMosquitto({ passwords: { hall: 'canary-old' } })
  t.teardown(() => broker.stop())
  const proxy = await recording(t, broker.port)
  replace('canary-old')
  const log = new KeptLog()
  const app = mqttasgi().topic('a/+b', () => {})
  const options = { url: proxy.url, clientId: newClientId(), username: 'hall', retries: 0, ...given }
  const server = await serving(t, app, { broker: options, log })
  await broker.changePasswords({ hall: 'canary-new' })
  replace('canary-new')
  const again = proxy.connections
  proxy.cut()
  // Long before the half minute that a refusal would cost.
  await within(10_000, 'connected again', server.publish('status', 'again'))
  t.is(proxy.connections, again + 1)
  t.is(server.counters.connects, 2)
  t.false(
    log.lines.some((line) => /canary|refused/.test(line)),
    log.lines.join('\n'),
  )
}

withMosquitto('a password file is read again before the next connection', async (t) => {
  const passwordFile = join(temporaryFolder(t, {}), 'password')
  await rotation(t, { passwordFile }, (password) => writeFileSync(passwordFile, `${password}\n`))
})

withMosquitto('a function is asked again for the password before the next connection', async (t) => {
  let token = ''
  await rotation(t, { password: async () => token }, (password) => (token = password))
})
