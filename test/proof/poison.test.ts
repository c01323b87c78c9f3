// A message that ends each process that takes it: quarantined after three of them, and none of its neighbours with it.
import type { ExecutionContext } from 'ava'
import { runProcess } from '../helpers/command-line.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startNats } from '../helpers/nats.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const app = `
  import { mqttasgi } from 'mqttasgi'
  import { appendFileSync } from 'node:fs'
  export const app = mqttasgi()
  app.topic('work/#', async (ctx) => {
    await new Promise((resolve) => setTimeout(resolve, 2))
    if (ctx.text() === 'poison') process.abort()
    appendFileSync('handled', ctx.text() + '\\n')
  })
`

const MESSAGES = 1_000

/** How often a process dies with this application until one keeps the message as a dead letter. */
async function deathsUntilPutAway(
  t: ExecutionContext,
  { argv, before, cwd }: { argv: readonly string[]; before: () => Promise<void>; cwd: string },
): Promise<number> {
  for (let deaths = 1; deaths < 8; deaths++) {
    await before()
    const command = runProcess(t, argv, { cwd })
    const isPutAway = await command.seen(/died \d times with this message/).then(
      () => true,
      () => false,
    )
    if (isPutAway) return deaths
    await command.ended.catch(() => {})
  }
  return Number.POSITIVE_INFINITY
}

async function life(t: ExecutionContext, cwd: string, argv: readonly string[]): Promise<'died' | 'lives'> {
  const command = runProcess(t, argv, { cwd })
  const dies = command.ended.then(
    () => 'died' as const,
    () => 'died' as const,
  )
  // The end of the backlog is only reached behind the poison.
  const lives = command.seen(/received the last one/).then(
    () => 'lives' as const,
    () => 'died' as const,
  )
  const fate = await Promise.race([dies, lives])
  if (fate === 'lives') command.signal('SIGTERM')
  await dies
  return fate
}

for (const [version, name] of [
  ['5', 'MQTT 5'],
  ['4', 'MQTT 3.1.1'],
] as const) {
  serverTest('mosquitto')(
    `a message that ends the process is a dead letter after three of them, and all others are handled (${name})`,
    async (t) => {
      const broker = await startMosquitto({ persistence: true })
      t.teardown(() => broker.stop())
      const proxy = await recording(t, broker.port, {})
      const cwd = temporaryFolder(t, {
        'app.ts': app.replace(
          'appendFileSync(',
          "if (ctx.text() === 'last') ctx.log.warn('received the last one')\n    appendFileSync(",
        ),
        handled: '',
      })
      const argv = [
        './app.ts',
        '--url',
        proxy.url,
        '-c',
        'false',
        '-i',
        'victim',
        '--protocol-version',
        version,
      ]
      const first = runProcess(t, argv, { cwd })
      await first.seen(/running/)
      const publisher = await startPublisher(broker.url)
      t.teardown(() => publisher.close())
      const payloadOf = (i: number): string => (i === 37 ? 'poison' : i === MESSAGES - 1 ? 'last' : `${i}`)
      await Promise.allSettled([publisher.many(MESSAGES, (i) => `work/${i % 50}`, payloadOf), first.ended])
      const fates: string[] = ['died']
      while (fates.at(-1) === 'died' && fates.length < 8) fates.push(await life(t, cwd, argv))
      t.deepEqual(fates, ['died', 'died', 'died', 'lives'])
      const { readFileSync } = await import('node:fs')
      const handled = new Set(readFileSync(`${cwd}/handled`, 'utf8').trim().split('\n'))
      const missing = Array.from({ length: MESSAGES }, (_, i) => payloadOf(i)).filter(
        (one) => !handled.has(one),
      )
      t.deepEqual(missing, ['poison'])
      const listing = runProcess(t, ['dlq', 'ls', '--json', ...argv.slice(1)], { cwd })
      t.is(await listing.ended, 0)
      const letters = listing
        .stdout()
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as object)
      t.is(letters.length, 1)
      t.like(letters[0], { cause: 'crashed', error: { code: 'ERR_MESSAGE_CRASHES' } })
    },
  )
}

serverTest('nats-server')(
  'three processes die of a message also where the broker sends it again late, behind new ones (NATS)',
  async (t) => {
    const broker = await startNats({ ackWait: '2s' })
    t.teardown(() => broker.stop())
    const proxy = await recording(t, broker.port, {})
    const cwd = temporaryFolder(t, { 'app.ts': app, handled: '' })
    const argv = ['./app.ts', '--url', proxy.url, '-c', 'false', '-i', 'victim', '--protocol-version', '4']
    const first = runProcess(t, argv, { cwd })
    await first.seen(/running/)
    const publisher = await startPublisher(broker.url)
    t.teardown(() => publisher.close())
    await publisher.publish('work/poison', 'poison')
    await first.ended.catch(() => {})
    const before = (): Promise<void> => publisher.many(60, (i) => `work/${i}`)
    t.is(await deathsUntilPutAway(t, { argv, before, cwd }), 3)
  },
)
