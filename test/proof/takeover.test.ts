// Two processes with one client id on a broker that says nothing of it: the later one finds out, and gives way.
import test, { type ExecutionContext } from 'ava'
import { startBroker } from '../../lib/broker/index.ts'
import { mqttasgi, type Application } from '../../lib/index.ts'
import { runProcess } from '../helpers/command-line.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'
import { latency, newClientId, serving } from '../integration/serving.ts'
import { Tally, within } from '../integration/tally.ts'

const withMosquitto = serverTest('mosquitto')

const app = `
  import { mqttasgi } from 'mqttasgi'
  export const app = mqttasgi()
  app.topic('a/+n', (ctx) => ctx.log.warn('handled ' + ctx.topic))
`

async function fight(
  t: ExecutionContext,
  given: { readonly version: '4' | '5'; readonly clean: 'true' | 'false' },
): Promise<void> {
  const broker = await startMosquitto()
  t.teardown(() => broker.stop())
  const proxy = await recording(t, broker.port, {})
  const id = newClientId()
  const cwd = temporaryFolder(t, { 'app.ts': app })
  const argv = [
    '--url',
    proxy.url,
    '-i',
    id,
    '-c',
    given.clean,
    '--protocol-version',
    given.version,
    '-r',
    '0',
  ]
  const first = runProcess(t, [...argv, './app.ts'], { cwd })
  await first.seen(/running/)
  // Long enough for the first one to count as the one that was there.
  await latency(5_200, 5_200)
  const later = runProcess(t, [...argv, './app.ts'], { cwd })
  t.is(await later.ended, 4)
  t.regex(later.output(), new RegExp(`Another client seems to use the client id "${id}"`))
  const takeovers = broker.log().split('already connected, closing old connection').length - 1
  t.log(`takeovers: ${takeovers}`)
  t.true(takeovers >= 2 && takeovers <= 4)
  const publisher = await startPublisher(broker.url)
  t.teardown(() => publisher.close())
  for (let i = 0; !first.output().includes('handled a/'); i++) {
    await publisher.publish(`a/${i}`, '')
    await latency(50, 50)
  }
  first.signal('SIGTERM')
  t.is(await first.ended, 0)
}

withMosquitto('on MQTT 5 the later of two processes ends with code 4, with a kept session', (t) =>
  fight(t, { version: '5', clean: 'false' }),
)
withMosquitto('on MQTT 3.1.1 the later of two processes ends with code 4, with a kept session', (t) =>
  fight(t, { version: '4', clean: 'false' }),
)
withMosquitto('on MQTT 3.1.1 the later of two processes ends with code 4, with a clean session', (t) =>
  fight(t, { version: '4', clean: 'true' }),
)

test('where the broker says so one takeover is enough: the later one ends, and the first one comes back', async (t) => {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const options = { url: broker.url, clientId: newClientId(), protocolVersion: 5, retries: 0 } as const
  const handled = new Tally()
  const application = (name: string): Application => mqttasgi().topic('a', () => handled.add(name))
  const first = await serving(t, application('first'), { broker: options })
  await latency(5_200, 5_200)
  const later = await serving(t, application('later'), { broker: options })
  const { error } = await within(10_000, 'the end of the later one', later.closed)
  t.is(error?.code, 'ERR_CLIENT_ID_TAKEN_OVER')
  t.regex(error?.message ?? '', new RegExp(`as "${options.clientId}" and took the session over \\(0x8e\\)`))
  await within(10_000, 'the return of the first one', first.ready())
  await broker.publish('a', 'x')
  await handled.untilTotal(1)
  await first.stop()
  t.deepEqual(handled.keys, ['first'])
  t.is(first.counters.connects, 2)
})
