// Publishes numbers when told so on stdin, until they are on disk, and says what became of each; for a process that is killed.
import { mqttasgi, serve, type ServeOptions } from '../../../lib/index.ts'

const server = await serve(mqttasgi(), JSON.parse(process.argv[2] ?? '{}') as ServeOptions)
process.stdout.write('serving\n')

process.stdin.setEncoding('utf8').on('data', (text: string) => {
  for (const line of text.trim().split('\n')) {
    const [from = 0, to = 0] = line.split(' ').map(Number)
    for (let number = from; number < to; number++) void publish(number)
  }
})
process.once('SIGTERM', () => void server.stop().then(({ clean }) => process.exit(clean ? 0 : 3)))

async function publish(number: number): Promise<void> {
  const { stored } = await server.publish(`durable/${number % 5}`, `${number}`, { until: 'stored' })
  process.stdout.write(`${number} ${stored === true ? 'stored' : 'answered'}\n`)
}
