// Connects in several ways at once, says how each ended, and must then end by itself: nothing is to be left behind.
import { mqttasgi, serve, type MqttasgiError, type ServeOptions } from '../../../lib/index.ts'

/** One line of JSON on stdout. */
export interface Ending {
  readonly name: string
  /** `serving` once it was up; `ended` in the end, whatever happened. */
  readonly event: 'serving' | 'ended'
  readonly code?: string | undefined
  readonly message?: string | undefined
}

function say(line: Ending): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

async function run(name: string, options: ServeOptions): Promise<void> {
  let error: MqttasgiError | undefined
  try {
    const app = mqttasgi().topic('a/+b', () => {})
    const server = await serve(app, options)
    say({ name, event: 'serving' })
    error = (await server.closed).error
  } catch (thrown) {
    error = thrown as MqttasgiError
  }
  say({ name, event: 'ended', code: error?.code, message: error?.message })
}

const ways = JSON.parse(process.argv[2] ?? '{}') as Record<string, ServeOptions>
await Promise.all(Object.entries(ways).map(([name, options]) => run(name, options)))
process.stdout.write('"all"\n')
