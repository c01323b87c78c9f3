// T13: a retained message that can not be handled is brought by each new subscription; it becomes one dead letter, not one each time.
import { join } from 'node:path'
import test from 'ava'
import { mqttasgi } from '../../lib/index.ts'
import { serveToHostileSide } from '../helpers/hostile-side.ts'
import type { Script, ScriptedLink } from '../helpers/scripted-broker.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

test('a retained message that was given up is not run again at each reconnect, and a new one on its topic is', async (t) => {
  let retained = 'broken'
  const runs: string[] = []
  const script: Script = {
    subscribe: (link, packet) => {
      link.answer(packet)
      link.deliver('config/pump', retained, { qos: 1, messageId: 1, retain: true })
    },
  }
  const app = mqttasgi().topic('config/+device', { retry: { attempts: 1 } }, (ctx) => {
    runs.push(ctx.text())
    ctx.json()
  })
  const stateDir = join(temporaryFolder(t), 'state')
  const { server, link, nextLink } = await serveToHostileSide(t, app, {
    broker: { retries: 0 },
    deadLetter: { store: 'journal' },
    stateDir,
    script,
  })
  const reconnected = async (last: ScriptedLink): Promise<ScriptedLink> => {
    last.stream.destroy()
    const next = await nextLink()
    await next.until(() => next.all('puback')[0])
    return next
  }
  await link.until(() => link.all('puback')[0])
  let current = link
  for (let time = 0; time < 4; time++) current = await reconnected(current)
  t.deepEqual(runs, ['broken'])
  t.is(server.counters.deadLettered, 1)
  t.is(server.counters.refusedAgain, 4)
  retained = '"mended"'
  await reconnected(current)
  t.deepEqual(runs, ['broken', '"mended"'])
  t.is(server.counters.handled, 1)
})
