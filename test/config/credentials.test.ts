import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { currentCredentials } from '../../lib/config/credentials.ts'
import { describeSettings } from '../../lib/config/describe.ts'
import { resolveOptions } from '../../lib/config/load.ts'
import type { BrokerInput } from '../../lib/config/input.ts'
import type { BrokerSettings } from '../../lib/config/settings.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

function settings(broker: BrokerInput): BrokerSettings {
  return resolveOptions({ broker }).broker
}

test('what stands in the settings is there at once', (t) => {
  t.deepEqual(currentCredentials(settings({})), { username: undefined, password: undefined })
  t.deepEqual(currentCredentials(settings({ username: 'u', password: 'p' })), {
    username: 'u',
    password: 'p',
  })
})

test('functions are asked each time, whether they take their time or not', async (t) => {
  let asked = 0
  const broker = settings({ username: () => `user ${++asked}`, password: async () => `token ${asked}` })
  t.deepEqual(await currentCredentials(broker), { username: 'user 1', password: 'token 1' })
  t.deepEqual(await currentCredentials(broker), { username: 'user 2', password: 'token 2' })
  const named = settings({ username: () => 'u', password: 'p' })
  t.deepEqual(await currentCredentials(named), { username: 'u', password: 'p' })
  t.deepEqual(await currentCredentials(settings({ username: () => 'u' })), {
    username: 'u',
    password: undefined,
  })
})

test('a file is read each time, without the line end behind the password', async (t) => {
  const folder = temporaryFolder(t, { secret: 'one\n' })
  const passwordFile = join(folder, 'secret')
  const broker = settings({ username: 'u', passwordFile })
  t.deepEqual(await currentCredentials(broker), { username: 'u', password: 'one' })
  writeFileSync(passwordFile, ' two \r\n')
  t.deepEqual(await currentCredentials(broker), { username: 'u', password: ' two ' })
})

test('what can not be had says why, and shows no password', async (t) => {
  const folder = temporaryFolder(t, { empty: '\n' })
  const read = async (broker: BrokerInput): Promise<unknown> =>
    currentCredentials(settings({ username: 'u', ...broker }))
  await t.throwsAsync(read({ passwordFile: join(folder, 'none') }), {
    message: /none can not be read \(ENOENT\)/,
  })
  await t.throwsAsync(read({ passwordFile: join(folder, 'empty') }), { message: /empty is empty/ })
  await t.throwsAsync(read({ password: () => 5 as unknown as string }), {
    message: /given as broker\.password is expected to return a text, and returned a number/,
  })
  await t.throwsAsync(read({ username: async () => '' }), { message: /broker\.username .*an empty one/ })
})

test('the description says that there is a function or a file, and no more', (t) => {
  const described = describeSettings(
    resolveOptions({ broker: { username: () => 'canary', password: () => 'canary' } }),
  )
  const of = (path: string): string | undefined => described.find((one) => one.path === path)?.value
  t.is(of('broker.username'), 'a function')
  t.is(of('broker.password'), 'a function')
})
