// A test that needs a server is never lost from sight: it runs, is skipped by name, or fails.
import test from 'ava'
import { execFile } from 'node:child_process'
import { serverTest } from './server-test.ts'

// What the inner run of this file is about; in the outer run it is one more test.
serverTest('mosquitto')('probe: a test for mosquitto', (t) => t.pass())

interface Run {
  readonly code: number
  readonly output: string
}

/** This file once more, only its probe, in a process that makes believe there is no server. */
function run(environment: Record<string, string>): Promise<Run> {
  const command = [
    'node_modules/ava/entrypoints/cli.mjs',
    'test/helpers/server-test.test.ts',
    '--match',
    'probe*',
  ]
  const env = { ...process.env, MQTTASGI_WITHOUT_SERVERS: '1', FORCE_COLOR: '0', ...environment }
  return new Promise((resolve) => {
    execFile(process.execPath, command, { env }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, output: stdout + stderr })
    })
  })
}

test('without the server the test is skipped by name and counted', async (t) => {
  const { code, output } = await run({ MQTTASGI_REQUIRE_SERVERS: '' })
  t.is(code, 0, output)
  t.regex(output, /probe: a test for mosquitto \(needs mosquitto, which is not on PATH\)/)
  t.regex(output, /1 test skipped/)
})

test('without the server and with MQTTASGI_REQUIRE_SERVERS=1 the test fails and says what to install', async (t) => {
  const { code, output } = await run({ MQTTASGI_REQUIRE_SERVERS: '1' })
  t.not(code, 0, output)
  t.regex(output, /1 test failed/)
  t.regex(output, /apt-get install mosquitto/)
})
