// Sends what it is told on `say/NAME` to a group, and says what it has sent and what it was told; for a process that is killed.
import { silentLog } from '../../../lib/core/log.ts'
import { mqttasgi, serve, type ServeOptions } from '../../../lib/index.ts'

const [name = '', options = '{}'] = process.argv.slice(2)
const app = mqttasgi({ retry: { attempts: 1 } })
  .topic(`say/${name}`, async (ctx) => {
    const number = ctx.text()
    try {
      await ctx.channels.groupSend('everybody', { type: 'said', number, from: name })
      process.stdout.write(`sent ${number}\n`)
    } catch (error) {
      process.stdout.write(`failed ${number} ${String(error)}\n`)
    }
  })
  .channel('said', { group: 'everybody' }, (event) => {
    process.stdout.write(`got ${String(event['from'])} ${String(event['number'])}\n`)
  })
const server = await serve(app, { ...(JSON.parse(options) as ServeOptions), log: silentLog })
process.stdout.write('serving\n')
process.once('SIGTERM', () => void server.stop().then(() => process.exit(0)))
