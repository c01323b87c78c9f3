// A newcomer's walk: what the README says to write and to type, from an empty folder to a running application.
import test, { type ExecutionContext } from 'ava'
import { connectAsync } from 'mqtt'
import { runHere, runProcess } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { codeBlocks } from './code-blocks.ts'

/** A folder with the files of the README, as `npm init -y` would have begun it. */
function walked(t: ExecutionContext, names: readonly string[]): string {
  const written = codeBlocks('README.md').filter(({ fileName }) => names.includes(fileName))
  t.is(written.length, names.length)
  const files = written.map(({ fileName, code }) => [fileName, code] as const)
  return temporaryFolder(t, { 'package.json': '{ "type": "commonjs" }', ...Object.fromEntries(files) })
}

test('dev runs the twelve lines; a hot room is told about, and what fails is said', async (t) => {
  const dev = runProcess(t, ['dev', './app.ts'], { cwd: walked(t, ['app.ts']) })
  const [, url = ''] = await dev.seen(/Embedded broker on (mqtt:\/\/127\.0\.0\.1:\d+)/)
  await dev.seen(/running: 1 route subscribed; Ctrl-C stops/)

  const device = await connectAsync(url)
  t.teardown(() => device.endAsync(true))
  await device.subscribeAsync('alerts/#', { qos: 1 })
  const alert = new Promise((resolve) => {
    device.once('message', (topic, payload) => resolve([topic, payload.toString()]))
  })
  await device.publishAsync('sensors/hall/temp', '{"celsius": 85}', { qos: 1 })
  t.deepEqual(await alert, ['alerts/hall', 'hot'])
  await dev.seen(/done with sensors\/hall\/temp/)

  await device.publishAsync('sensors/hall/temp', 'warm', { qos: 1 })
  await dev.seen(/failed in route "sensors\/\+room\/temp", .* dead letter now, [\w-]+: .*is not JSON/)
  await device.publishAsync('sensors/cellar/temp', '{"celsius": 12}', { qos: 1 })
  await dev.seen(/done with sensors\/cellar\/temp/)
  await device.endAsync()

  dev.signal('SIGINT')
  t.is(await dev.ended, 0)
})

test('match and routes say what would run and what is subscribed', async (t) => {
  const cwd = walked(t, ['app.ts'])
  const match = runHere(['match', 'sensors/hall/temp', './app.ts'], { cwd })
  t.is(await match.ended, 0)
  t.regex(match.stdout(), /middleware +\(every topic\)/)
  t.regex(match.stdout(), /route +sensors\/\+room\/temp .*room = "hall"/)
  const routes = runHere(['routes', './app.ts'], { cwd })
  t.is(await routes.ended, 0)
  t.regex(routes.stdout(), /subscribed at the broker\n +sensors\/\+\/temp +qos 1/)
})

test('with the configuration beside it, no file name is needed, and config says where values come from', async (t) => {
  const cwd = walked(t, ['app.ts', 'mqttasgi.config.ts'])
  const routes = runHere(['routes'], { cwd })
  t.is(await routes.ended, 0)
  t.regex(routes.stdout(), /sensors\/\+room\/temp/)
  const config = runHere(['config', '--port', '1884'], { cwd, env: { MQTT_URL: '' } })
  t.is(await config.ended, 0)
  t.regex(config.stdout(), /broker\.clientId +greenhouse +file mqttasgi\.config\.ts/)
  t.regex(config.stdout(), /broker\.port +1884 +flag --port/)
})

test('each wrong step says what to do next', async (t) => {
  const empty = temporaryFolder(t)
  const nothing = runHere([], { cwd: empty })
  t.is(await nothing.ended, 78)
  t.regex(nothing.output(), /Name its file, as in mqttasgi \.\/app\.ts/)
  const mistyped = runHere(['dve'], { cwd: empty })
  t.is(await mistyped.ended, 2)
  t.regex(mistyped.output(), /Did you mean dev\?/)
  const elsewhere = runHere(['routes', './ap.ts'], { cwd: walked(t, ['app.ts']) })
  t.is(await elsewhere.ended, 78)
  t.regex(elsewhere.output(), /ap\.ts can not be read: there is no such file/)
})
