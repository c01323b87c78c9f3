// T11: what is run is in the working directory or was named, never what lies further up, and never what all may write.
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { runHere } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const planted = `throw new Error('PLANTED')`
const names = ['ts', 'mts', 'cts', 'js', 'mjs', 'cjs'].map((type) => `mqttasgi.config.${type}`)

test('nothing in a parent folder is read or run, by no command', async (t) => {
  const files = Object.fromEntries(
    [...names, 'app.ts', 'mqttasgi.ts', '.mqttasgirc.js'].map((name) => [name, planted]),
  )
  const folder = temporaryFolder(t, {
    ...files,
    '.env': 'MQTT_HOSTNAME=planted\nMQTTASGI_CONFIG=mqttasgi.config.ts\n',
    'package.json': JSON.stringify({ mqttasgi: { application: './app.ts', broker: { host: 'planted' } } }),
    'inside/.keep': '',
  })
  const cwd = join(folder, 'inside')
  const config = runHere(['config'], { cwd })
  t.is(await config.ended, 0)
  t.regex(config.output(), /broker\.host +localhost +default/)
  t.notRegex(config.output(), /planted/i)
  for (const words of [['run'], ['routes'], ['match', 'a/b'], []]) {
    const command = runHere(words, { cwd })
    t.is(await command.ended, 78, words.join())
    t.regex(command.output(), /ERR_APPLICATION_MISSING/)
    t.notRegex(command.output(), /planted/i)
  }
})

test('a configuration further up is read when it is named', async (t) => {
  const folder = temporaryFolder(t, {
    'mqttasgi.config.json': JSON.stringify({ broker: { host: 'named' } }),
    'inside/.keep': '',
  })
  const command = runHere(['config', '--config', '../mqttasgi.config.json'], { cwd: join(folder, 'inside') })
  t.is(await command.ended, 0)
  t.regex(command.output(), /broker\.host +named/)
})

test('a configuration that every user of the machine may write is not run', async (t) => {
  for (const name of [...names, 'mqttasgi.config.json', 'mqttasgi.config.yaml']) {
    const cwd = temporaryFolder(t, { [name]: planted })
    chmodSync(join(cwd, name), 0o666)
    const command = runHere(['config'], { cwd })
    t.is(await command.ended, 78, name)
    t.regex(command.output(), /ERR_CONFIG_UNSAFE/)
    t.notRegex(command.output(), /PLANTED/)
  }
})
