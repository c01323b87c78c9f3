import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { startBroker } from '../../lib/broker/index.ts'
import { runProcess } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

// Says what the broker has retained; the first one leaves something with it.
const app = (text: string) => `
  import { mqttasgi } from 'mqttasgi'
  import { word } from './lib/word.ts'
  export const app = mqttasgi()
  if ('${text}' === 'first') app.onConnect((client) => client.publish('kept', 'hello', { retain: true }))
  app.topic('kept', (ctx) => ctx.log.info('${text} ' + word + ' got ' + ctx.text()))
`

test('dev runs on a broker of its own that outlives restarts, and starts again on every change', async (t) => {
  const cwd = temporaryFolder(t, { 'app.ts': app('first'), 'lib/word.ts': `export const word = 'one'` })
  const command = runProcess(t, ['dev', './app.ts'], { cwd })
  await command.seen(/Embedded broker on mqtt:\/\/127\.0\.0\.1:\d+/)
  await command.seen(/first one got hello/)
  writeFileSync(join(cwd, 'lib/word.ts'), `export const word = 'two'`)
  await command.seen(/word\.ts has changed: starting again/)
  await command.seen(/first two got hello/)
  // A mistake is shown, and its mending awaited.
  writeFileSync(join(cwd, 'app.ts'), 'export const app = ')
  await command.seen(
    /app\.ts can not be loaded: .*\(ERR_APPLICATION_LOAD\)\n.*ended with exit code 1; waiting for a change/,
  )
  writeFileSync(join(cwd, 'app.ts'), app('second'))
  await command.seen(/second two got hello/)
  // So is one in the configuration, which comes to be and goes again.
  writeFileSync(join(cwd, 'mqttasgi.config.json'), '{ "brokr": {} }')
  await command.seen(/ERR_CONFIG_KEY/)
  rmSync(join(cwd, 'mqttasgi.config.json'))
  await command.seen(/mqttasgi\.config\.json has changed[^]*mqttasgi\.config\.json has changed[^]*running/)
  command.signal('SIGINT')
  t.is(await command.ended, 0)
  t.notRegex(command.output(), /clean session/)
})

test('dev uses the broker that is given, and hands passwords to its process unseen', async (t) => {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const cwd = temporaryFolder(t, { 'app.ts': app('first'), 'lib/word.ts': `export const word = 'one'` })
  const argv = ['dev', '--url', broker.url, '-U', 'u', '-P', 'CANARY-3f9a', './app.ts']
  const command = runProcess(t, argv, { cwd })
  await command.seen(/first one got hello/)
  t.is(broker.clients, 1)
  if (process.platform === 'linux') t.notRegex(readFileSync(`/proc/${command.pid}/cmdline`, 'utf8'), /CANARY/)
  command.signal('SIGTERM')
  t.is(await command.ended, 0)
  t.notRegex(command.output(), /Embedded broker|CANARY/)
  t.is(broker.clients, 0)
})
