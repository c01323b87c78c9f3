// T9: a secret is in nothing that is printed, and not in what other users see of the process. test/cli/secrets.test.ts
// has every place a password can come from; here is every command.
import { readFileSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { startBroker } from '../../lib/broker/index.ts'
import { runHere, runProcess, type RunningCommand } from '../helpers/command-line.ts'
import { recordedUrl } from '../helpers/recording.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const canary = 'CANARY-3f9a'
const app = `
  import { mqttasgi } from 'mqttasgi'
  export const app = mqttasgi()
  app.topic('fail', () => { throw new Error('the password was ${canary}') })
`

/** The address of a broker, behind a proxy that watches: it has no word of processes, nor of doctor. */
async function broker(t: ExecutionContext): Promise<{ readonly url: string }> {
  const started = await startBroker({ port: 0 })
  t.teardown(() => started.close())
  return { url: await recordedUrl(t, started.url, {}) }
}

/** All that --help lists, so that a new command is tried here without being named. */
async function commandNames(t: ExecutionContext): Promise<readonly string[]> {
  const help = runHere(['--help'], { cwd: temporaryFolder(t) })
  t.is(await help.ended, 0)
  const [, list = ''] = /^Commands:\n((?: .*\n|\n)*)/m.exec(help.output()) ?? []
  const names = [...list.matchAll(/^ {2}(\w[\w-]*)/gm)].map(([, name]) => name ?? '')
  return names.filter((name) => name !== 'help')
}

interface Place {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly files: Readonly<Record<string, string>>
}

function placesFor(url: string): readonly Place[] {
  const secretUrl = url.replace('//', `//u:${canary}@`)
  return [
    { argv: [], env: { MQTT_URL: url, MQTT_USERNAME: 'u', MQTT_PASSWORD: canary }, files: {} },
    { argv: ['--url', secretUrl], env: {}, files: {} },
    { argv: ['--url', url, '-U', 'u', '-P', canary], env: {}, files: {} },
    {
      argv: [],
      env: { MQTT_URL: url, MQTT_USERNAME: 'u', MQTT_PASSWORD_FILE: 'secret' },
      files: { secret: canary },
    },
    { argv: [], env: {}, files: { '.env': `MQTT_URL=${secretUrl}\n` } },
    { argv: [], env: {}, files: { 'mqttasgi.config.json': JSON.stringify({ broker: { url: secretUrl } }) } },
  ]
}

test('no command prints a secret, whether it works, fails or is asked for help', async (t) => {
  const names = await commandNames(t)
  for (const name of ['run', 'dev', 'routes', 'match', 'config']) t.true(names.includes(name), name)
  const { url } = await broker(t)
  // dev starts a process of its own, and so must be one: see below.
  for (const name of names.filter((one) => one !== 'dev')) {
    for (const { argv, env, files } of placesFor(url)) {
      const cwd = temporaryFolder(t, { 'app.ts': app, ...files })
      for (const words of [[name, '--help'], [name], [name, './app.ts'], [name, 'a/b', './app.ts']]) {
        const command = runHere([...words, '-vv', ...argv], { cwd, env: { ...env, DEBUG: '1' } })
        await untilQuiet(command)
        t.notRegex(command.output(), /CANARY/, [...words, ...Object.keys(files)].join(' '))
      }
    }
  }
})

test('dev prints no secret and hands none to its process where others could read it', async (t) => {
  const { url } = await broker(t)
  const cwd = temporaryFolder(t, { 'app.ts': app })
  for (const { argv, env } of placesFor(url).slice(1, 3)) {
    const command = runProcess(t, ['dev', './app.ts', '-vv', ...argv], { cwd, env })
    await command.seen(/running/)
    for (const pid of [command.pid, ...childrenOf(command.pid)]) {
      t.notRegex(readFileSync(`/proc/${pid}/cmdline`, 'latin1'), /CANARY/)
    }
    command.signal('SIGTERM')
    t.is(await command.ended, 0)
    t.notRegex(command.output(), /CANARY/)
  }
})

function childrenOf(pid: number): readonly string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
}

/** To its end, or as far as a command goes that runs until it is stopped. */
async function untilQuiet(command: RunningCommand): Promise<void> {
  await Promise.race([command.ended, command.seen(/running:/)]).catch(() => {})
  command.signal('SIGTERM')
  await command.ended
}

for (const [what, words] of Object.entries({
  'a flag': (url: string) => ['--url', url, '-U', 'u', '-P', canary],
  'a URL': (url: string) => ['--url', url.replace('//', `//u:${canary}@`)],
})) {
  test(`a password in ${what} works, is warned of, and is gone from the list of processes`, async (t) => {
    const { url } = await broker(t)
    const cwd = temporaryFolder(t, { 'app.ts': app })
    const command = runProcess(t, ['./app.ts', ...words(url)], { cwd })
    await command.seen(/running/)
    t.regex(command.output(), /the password was given on the command line .*MQTT_PASSWORD/)
    t.notRegex(readFileSync(`/proc/${command.pid}/cmdline`, 'latin1'), /CANARY/)
    command.signal('SIGTERM')
    t.is(await command.ended, 0)
    t.notRegex(command.output(), /CANARY/)
  })
}

for (const DEBUG of ['mqttjs*', 'mqtt-packet*']) {
  test(`DEBUG=${DEBUG} is warned of, and does not print the password`, async (t) => {
    const { url } = await broker(t)
    const cwd = temporaryFolder(t, { 'app.ts': app })
    const env = { MQTT_URL: url, MQTT_USERNAME: 'u', MQTT_PASSWORD: canary, DEBUG }
    const command = runProcess(t, ['./app.ts'], { cwd, env })
    await command.seen(/running/)
    t.regex(command.output(), /warn +DEBUG lets MQTT\.js write what it sends and gets/)
    command.signal('SIGTERM')
    t.is(await command.ended, 0)
    t.notRegex(command.output(), /CANARY/)
  })
}

test('DEBUG of our own words is not warned of', async (t) => {
  const { url } = await broker(t)
  const cwd = temporaryFolder(t, { 'app.ts': app })
  const env = { MQTT_URL: url.replace('//', `//u:${canary}@`), DEBUG: 'mqttasgi:*' }
  const command = runProcess(t, ['./app.ts'], { cwd, env })
  await command.seen(/running/)
  t.notRegex(command.output(), /DEBUG lets|CANARY/)
  command.signal('SIGTERM')
  t.is(await command.ended, 0)
})
