import test, { type ExecutionContext } from 'ava'
import { resolveOptions } from '../../lib/config/load.ts'
import type { WillInput } from '../../lib/config/input.ts'
import { runHere } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const willOf = (will: WillInput | undefined) => resolveOptions({ broker: { will } }).broker.will

test('without a topic there is no last will, and with one the rest has its defaults', (t) => {
  t.is(willOf(undefined), undefined)
  t.is(willOf({}), undefined)
  t.deepEqual(willOf({ topic: 'status/hall' }), {
    topic: 'status/hall',
    payload: '',
    qos: 1,
    retain: false,
    delaySeconds: 0,
  })
  const will = { topic: 'status/hall', payload: 'gone', qos: 0, retain: true, delay: 30 } as const
  t.deepEqual(willOf(will), {
    topic: 'status/hall',
    payload: 'gone',
    qos: 0,
    retain: true,
    delaySeconds: 30,
  })
})

function refused(t: ExecutionContext, will: object, code: string, message: RegExp): void {
  t.throws(() => willOf(will), { code, message })
}

test('no topic', refused, { payload: 'gone' }, 'ERR_CONFIG_INCOMPLETE', /^broker\.will\.payload \(options\)/)
test('a filter', refused, { topic: 'a/+' }, 'ERR_CONFIG_VALUE', /expected a topic such as .* got "a\/\+"/)
test('a topic of the broker', refused, { topic: '$SYS/a' }, 'ERR_CONFIG_VALUE', /the broker’s own/)
test('a QoS that there is not', refused, { topic: 'a', qos: 3 }, 'ERR_CONFIG_VALUE', /one of 0, 1, 2/)
test('another key', refused, { topic: 'a', qoss: 1 }, 'ERR_CONFIG_KEY', /Did you mean broker\.will\.qos\?/)

test('the last will has flags and variables, and config shows them', async (t) => {
  const env = { MQTT_WILL_TOPIC: 'status/hall', MQTT_WILL_PAYLOAD: 'gone', MQTT_WILL_QOS: '0' }
  const argv = ['config', '--will-retain', 'true', '--will-delay', '5']
  const command = runHere(argv, { cwd: temporaryFolder(t), env })
  t.is(await command.ended, 0)
  t.regex(command.output(), /broker\.will\.topic +status\/hall +environment MQTT_WILL_TOPIC/)
  t.regex(command.output(), /broker\.will\.payload +gone/)
  t.regex(command.output(), /broker\.will\.qos +0 /)
  t.regex(command.output(), /broker\.will\.retain +true +flag --will-retain/)
  t.regex(command.output(), /broker\.will\.delay +5 /)
})
