// T15: a topic proves nobody, unless the broker binds names to users: the access list of docs/security.md does that.
import { once, EventEmitter } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { mqttasgi, serve } from '../../lib/index.ts'
import { silentLog } from '../../lib/core/log.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recordedUrl } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/security.md'), 'utf8')

serverTest('mosquitto')(
  'with the access list of the documentation nobody can speak in the name of another',
  async (t) => {
    const [, list = ''] = /```\n(# acl_file:[^]*?)```/.exec(page) ?? []
    t.regex(list, /pattern write status\/%u/)
    const folder = temporaryFolder(t, { acl: list })
    const passwords = { greenhouse: 'g', 'pump-1': '1', 'pump-2': '2' }
    const broker = await startMosquitto({ passwords, extra: [`acl_file ${join(folder, 'acl')}`] })
    t.teardown(() => broker.stop())
    const publishAs = async (
      username: 'pump-1' | 'pump-2',
      topic: string,
      payload: string,
    ): Promise<void> => {
      const options = { username, password: passwords[username], protocolVersion: 5 as const }
      const publisher = await startPublisher(broker.url, options)
      t.teardown(() => publisher.close())
      await publisher.publish(topic, payload)
    }
    const events = new EventEmitter()
    const seen: string[] = []
    const app = mqttasgi()
      .topic('status/+id', (ctx) => {
        seen.push(`${ctx.params.id} ${ctx.text()}`)
        if (ctx.text() === 'last') events.emit('last')
      })
      .topic('requests/+id/sum', (ctx) => ctx.reply('42'))
    const url = await recordedUrl(t, broker.url)
    const server = await serve(app, {
      broker: { url, username: 'greenhouse', password: 'g', protocolVersion: 5 },
      replyTopics: ['clients/+/replies'],
      log: silentLog,
    })
    t.teardown(() => server.stop())
    const last = once(events, 'last')
    // MQTT.js rejects what the broker does not authorize; mosquitto 2.0.11 ends the connection as well.
    await t.throwsAsync(publishAs('pump-1', 'status/pump-2', 'forged'))
    await publishAs('pump-1', 'status/pump-1', 'last')
    await last
    t.deepEqual(seen, ['pump-1 last'])
    const { reasonCode } = await server.publish('clients/pump-1/replies', 'x')
    t.true(reasonCode < 0x80)
  },
)
