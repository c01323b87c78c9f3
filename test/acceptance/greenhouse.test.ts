// The greenhouse, which is the first thing a newcomer runs: it tells its story, and it ends as it is asked to.
import { recordedUrl } from '../helpers/recording.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import test from 'ava'
// By its name, as the example has it: two copies of the package would not know each other's applications.
import { serve } from 'mqttasgi'
import { startBroker } from 'mqttasgi/broker'
import { app } from '../../examples/greenhouse/app.ts'
import { readDuration } from '../../examples/greenhouse/arguments.ts'
import { startDevices } from '../../examples/greenhouse/devices.ts'
import { screen } from '../../examples/greenhouse/screen.ts'
import { startScript } from './script.ts'

const main = 'examples/greenhouse/main.ts'

test('a warm house is aired, a dry bed is watered, and a stuck valve fails one message', async (t) => {
  const expected = [
    /house\/south\/temperature +30\.\d °C, too warm: open the window$/,
    /alert\/south\/heat +ALERT: heat in the south house$/,
    /house\/south\/window +the window is open$/,
    /✗ +bed\/tomato\/moisture +FAILED in route bed\/\+bed\/moisture: the valve of the tomato bed is stuck$/,
    /bed\/tomato\/water +watered with 2 litres$/,
    /bed\/tomato\/moisture +took \d+ ms, and nothing else had to wait$/,
    /house\/south\/temperature +2\d\.\d °C, cool again: close the window$/,
    /house\/south\/window +the window is closed$/,
  ]
  const lines: string[] = []
  let told: () => void = () => {}
  const wholeStory = new Promise<void>((resolve) => (told = resolve))
  const log = screen((line) => {
    lines.push(line)
    if (expected.every((pattern) => lines.some((one) => pattern.test(one)))) told()
  }, false)

  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const session = { url: await recordedUrl(t, broker.url), clientId: 'greenhouse', clean: false }
  const server = await serve(app, {
    broker: session,
    deadLetter: { store: 'none' },
    stateDir: temporaryFolder(t),
    log,
  })
  t.teardown(() => server.stop())
  const devices = await startDevices(broker.url, 20)
  t.teardown(() => devices.stop())
  await wholeStory
  await devices.stop()
  t.true((await server.stop()).clean)

  t.is(server.counters.failed, 1)
  const topicColumns = lines
    .filter((line) => /[←✗]/.test(line))
    .map((line) => line.search(/(?:house|bed|alert)\//))
  t.deepEqual([...new Set(topicColumns)], [topicColumns[0]], 'the lines are aligned')
})

test('it runs for as long as it is told, and ends with exit code 0', async (t) => {
  const greenhouse = startScript(t, [main, '--for', '700ms'])
  t.is(await greenhouse.ended, 0, greenhouse.lines.join('\n'))
  const text = greenhouse.lines.join('\n')
  t.regex(text, /The greenhouse is open, on mqtt:\/\/127\.0\.0\.1:\d+\. Ctrl-C closes it\./)
  t.regex(
    text,
    /The time is over: nothing new is begun, and what runs is finished\.\n.* \d+ messages? handled/,
  )
  // No terminal, no colours.
  t.false(text.includes('\u001B'))
})

test('Ctrl-C closes it, after what runs is finished', async (t) => {
  const greenhouse = startScript(t, [main])
  await greenhouse.line(/house\/north\/temperature/)
  greenhouse.signal('SIGINT')
  t.is(await greenhouse.ended, 0)
  t.regex(greenhouse.lines.at(-2) ?? '', /Ctrl-C: nothing new is begun, and what runs is finished\./)
  t.regex(greenhouse.lines.at(-1) ?? '', /\d+ messages handled, 0 failed, \d+ acknowledged\./)
})

test('a wrong argument is said in one line, with exit code 2', async (t) => {
  const greenhouse = startScript(t, [main, '--for', 'soon'])
  t.is(await greenhouse.ended, 2)
  t.deepEqual(greenhouse.lines, ['--for expects a time such as 10s or 2m, and got "soon".'])
})

test('a duration has a unit', (t) => {
  t.is(readDuration(['--for', '10s']), 10_000)
  t.is(readDuration(['--for', '2m']), 120_000)
  t.is(readDuration(['--for=250ms']), 250)
  t.is(readDuration([]), undefined)
  for (const text of ['10', '0s', '-1s', '1h', '1.5s', '10 s', '', '999999m']) {
    t.throws(() => readDuration([`--for=${text}`]), { message: /--for expects a time such as 10s/ })
  }
  t.throws(() => readDuration(['--fro', '1s']), { message: /Expected nothing, or: npm start -- --for 10s$/ })
  t.throws(() => readDuration(['10s']), { message: /Expected nothing, or/ })
})

test('in a terminal, topics and failures have their colours', (t) => {
  const lines: string[] = []
  const log = screen((line) => lines.push(line), true)
  log.info('30.6 °C', { topic: 'house/south/temperature' })
  log.error('The chain failed', { topic: 'a', route: 'a', error: new Error('stuck') })
  t.true(lines[0]?.includes('\u001B[36mhouse/south/temperature'))
  t.true(lines[1]?.includes('\u001B[31mFAILED in route a: stuck'))
})
