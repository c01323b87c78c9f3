// T12: .env is read, stays out of the environment of what is started, and is never packed.
import { execFileSync } from 'node:child_process'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { runHere } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const root = join(import.meta.dirname, '../..')

test('.env of the working directory is read, and not written into the environment', async (t) => {
  const cwd = temporaryFolder(t, { '.env': 'MQTT_HOSTNAME=from-dotenv\n' })
  const command = runHere(['config'], { cwd })
  t.is(await command.ended, 0)
  t.regex(command.output(), /broker\.host +from-dotenv +\.env MQTT_HOSTNAME/)
  t.is(process.env['MQTT_HOSTNAME'], undefined)
})

test('no .env is packed, wherever in the package it lies', (t) => {
  const places = ['', 'lib/', 'lib/core/', 'dist/', 'dist/lib/', 'dist/bin/']
  const names = ['.env', '.env.local', '.env.production', '.npmrc']
  const secrets = places.flatMap((place) => names.map((name) => `${place}${name}`))
  const files = [...secrets, 'lib/index.ts', 'dist/lib/index.js', 'README.md', 'LICENSE', 'CHANGELOG.md']
  const folder = temporaryFolder(t, Object.fromEntries(files.map((file) => [file, 'x'])))
  cpSync(join(root, 'package.json'), join(folder, 'package.json'))
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts']
  const output = execFileSync('npm', args, {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [packed] = JSON.parse(output) as { files: { path: string }[] }[]
  const paths = (packed?.files ?? []).map(({ path }) => path)
  t.true(paths.includes('lib/index.ts'))
  t.deepEqual(
    paths.filter((path) => secrets.includes(path)),
    [],
  )
})
