import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { startBroker } from '../../lib/broker/index.ts'
import { runProcess } from '../helpers/command-line.ts'
import { recordedUrl } from '../helpers/recording.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

// Says what the broker has retained; the first one leaves something with it.
const app = (text: string) => `
  import { mqttasgi } from 'mqttasgi'
  import { word } from './lib/word.ts'
  export const app = mqttasgi()
  if ('${text}' === 'first') app.onConnect((client) => client.publish('kept', 'hello', { retain: true }))
  app.topic('kept', (ctx) => ctx.log.info('${text} ' + word + ' got ' + ctx.text()))
`

/** Another broker, as far as the port is concerned: ours now, or somebody's before. */
async function takeUsualPort(t: ExecutionContext): Promise<void> {
  const other = createServer().listen(1883, '127.0.0.1')
  t.teardown(() => other.close())
  // Taken before it is an error here, which is as good.
  await once(other, 'listening').catch(() => {})
}

test('dev runs on a broker of its own that outlives restarts, and starts again on every change', async (t) => {
  await takeUsualPort(t)
  const cwd = temporaryFolder(t, { 'app.ts': app('first'), 'lib/word.ts': `export const word = 'one'` })
  const command = runProcess(t, ['dev', './app.ts'], { cwd })
  const [, port] = await command.seen(/Embedded broker on mqtt:\/\/127\.0\.0\.1:(\d+)/)
  await command.seen(new RegExp(`warn  port 1883 is taken.*takes port ${port}.*--host localhost`))
  await command.seen(/first one got hello/)
  // A mistake in a file that the application imports is shown, and its mending awaited.
  writeFileSync(join(cwd, 'lib/word.ts'), 'export const word = ')
  await command.seen(/word\.ts has changed: starting again/)
  await command.seen(
    /can not be loaded: .*\(ERR_APPLICATION_LOAD\)\n.*ended with exit code 1; waiting for a change/,
  )
  writeFileSync(join(cwd, 'lib/word.ts'), `export const word = 'two'`)
  await command.seen(/first two got hello/)
  // So is one in the configuration, which comes to be and goes again.
  writeFileSync(join(cwd, 'mqttasgi.config.json'), '{ "brokr": {} }')
  await command.seen(/ERR_CONFIG_KEY\)\n.*waiting for a change/)
  writeFileSync(join(cwd, 'app.ts'), app('second'))
  rmSync(join(cwd, 'mqttasgi.config.json'))
  await command.seen(/mqttasgi\.config\.json has changed[^]*mqttasgi\.config\.json has changed/)
  await command.seen(/second two got hello/)
  command.signal('SIGINT')
  t.is(await command.ended, 0)
  t.regex(command.output(), /SIGINT: stopping/)
  t.notRegex(command.output(), /the broker is /)
  t.notRegex(command.output(), /clean session/)
})

test('dev uses the broker that is given, and hands passwords to its process unseen; killed, it leaves none behind', async (t) => {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const cwd = temporaryFolder(t, {
    'my.json': '{ "brokr": {} }',
    'app.ts': `
      import { mqttasgi } from 'mqttasgi'
      export const app = mqttasgi()
      app.topic('slow', async (ctx) => {
        ctx.log.info('slow begins')
        await new Promise((resolve) => process.once('disconnect', resolve))
        ctx.log.info('slow ends')
      })
      app.topic('stuck', (ctx) => { ctx.log.info('stuck begins'); return new Promise(() => {}) })
    `,
  })
  const url = await recordedUrl(t, broker.url, {})
  const argv = ['dev', '--url', url, '-U', 'u', '-P', 'CANARY-3f9a', '--config', 'my.json', './app.ts']
  const command = runProcess(t, argv, { cwd })
  await command.seen(/ERR_CONFIG_KEY/)
  writeFileSync(join(cwd, 'my.json'), '{}')
  await command.seen(/running/)
  t.regex(command.output(), new RegExp(`the broker is ${url}\\n`))
  t.is(broker.clients, 1)
  await broker.publish('slow', '')
  await broker.publish('stuck', '')
  await command.seen(/slow begins[^]*stuck begins/)
  if (process.platform === 'linux') t.notRegex(readFileSync(`/proc/${command.pid}/cmdline`, 'utf8'), /CANARY/)
  process.kill(command.pid, 'SIGKILL')
  // The process of the application holds the same streams: they are closed when it has ended too.
  await t.throwsAsync(command.ended, { message: /ended by SIGKILL/ })
  t.regex(command.output(), /slow ends[^]*stopped: 1 message was still in hand, not acknowledged\n$/)
  t.notRegex(command.output(), /Embedded broker|CANARY/)
  t.is(broker.clients, 0)
})
