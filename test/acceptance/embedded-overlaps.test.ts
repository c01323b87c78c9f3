// Routes whose filters overlap, on the embedded broker: what works while developing must not be lost there.
import test from 'ava'
import { startBroker } from '../../lib/broker/index.ts'
import { mqttasgi, serve } from '../../lib/index.ts'
import { silentLog } from '../../lib/core/log.ts'
import { recordedUrl } from '../helpers/recording.ts'

for (const patterns of [
  ['a/+x', '+y/b'],
  ['+y/b', 'a/+x'],
  ['a/#', '+y/b', 'a/b'],
]) {
  test(`${patterns.join(', ')}: a message that all of them match runs each once`, async (t) => {
    const broker = await startBroker({ port: 0 })
    t.teardown(() => broker.close())
    const app = mqttasgi()
    const ran: string[] = []
    let atEnd: () => void = () => {}
    const end = new Promise<void>((resolve) => (atEnd = resolve))
    for (const pattern of patterns) {
      app.topic(pattern, (ctx, next) => {
        ran.push(pattern)
        return next()
      })
    }
    app.topic('the/end', () => atEnd())
    const server = await serve(app, { broker: { url: await recordedUrl(t, broker.url) }, log: silentLog })
    t.teardown(() => server.stop())
    await server.publish('a/b', '')
    await server.publish('the/end', '')
    await end
    t.deepEqual(ran, patterns)
  })
}
