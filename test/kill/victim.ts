// The victim of the kill harness: handles numbered messages and writes each one down before its handler ends.
import { openSync, writeSync } from 'node:fs'
import { mqttasgi, serve } from '../../lib/index.ts'

/** What the harness hands over, as JSON in the first argument. */
export interface VictimOptions {
  readonly url: string
  readonly username?: string
  readonly password?: string
  readonly clientId: string
  readonly protocolVersion: 4 | 5
  /** Its working directory, and so where its state is. */
  readonly folder: string
  /** One line for each run of the handler is appended here. */
  readonly file: string
  /** A run takes a random time up to this. */
  readonly handlerMs: number
  readonly maxInFlight: number
  readonly keepalive?: number
  /** The group it is a member of. */
  readonly share?: string
  /** Of the route; 1 unless told otherwise. */
  readonly qos?: 1 | 2
  readonly qos2?: 'downgrade' | 'durable'
}

const {
  maxInFlight,
  file,
  handlerMs,
  share,
  folder: _,
  qos = 1,
  qos2 = 'downgrade',
  ...connection
} = JSON.parse(process.argv[2] ?? '{}') as VictimOptions
const record = openSync(file, 'a')

const app = mqttasgi()
app.topic('kill/+number', share === undefined ? { qos } : { qos, share }, async (ctx) => {
  await new Promise((resolve) => setTimeout(resolve, Math.random() * handlerMs))
  // What has been written survives SIGKILL: it is with the kernel. A power cut would need fsync as well.
  writeSync(record, `${ctx.params.number}\n`)
  process.stdout.write(`${ctx.params.number}\n`)
})

async function begin(): Promise<void> {
  const broker = { ...connection, clean: false, retries: 0 }
  const server = await serve(app, { broker, maxInFlight, qos2 })
  // Before it is said that this one serves: who hears of it may end it at once.
  process.once('SIGTERM', () => void server.stop().then(() => process.exit()))
  process.stdout.write('serving\n')
}

// All is loaded. The next victim waits here while this one still runs, so that little time is lost between them.
process.stdout.write('loaded\n')
process.stdin.once('data', () => void begin())
process.stdin.once('end', () => process.exit())
