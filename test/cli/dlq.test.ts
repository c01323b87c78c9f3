// mqttasgi dlq: what it shows, and that replay and purge take away what they may and nothing else; long, for each action.
import test, { type ExecutionContext } from 'ava'
import { connectAsync } from 'mqtt'
import { join } from 'node:path'
import { type EmbeddedBroker, startBroker } from '../../lib/broker/index.ts'
import type { DeadLetter } from '../../lib/core/dead-letter.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { JournalDeadLetters } from '../../lib/durable/journal-dead-letters.ts'
import { lettersOf } from '../contract/dead-letter-store.ts'
import { type CommandHere, runHere } from '../helpers/command-line.ts'
import { fullLetter, letter, properties } from '../helpers/letters.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher } from '../helpers/publisher.ts'
import { recordedUrl } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const withMosquitto = serverTest('mosquitto')

const app = `
  import { mqttasgi } from 'mqttasgi'
  const retry = { attempts: 2, minDelayMs: 1, maxDelayMs: 1 }
  const attempts = new Map()
  export const app = mqttasgi()
  app.topic('good/+id', async (ctx) => {
    ctx.log.warn('ran ' + ctx.topic + ' ' + ctx.properties.userProperties['mqttasgi-replay'])
    await ctx.publish('done/' + ctx.params.id, ctx.payload)
  })
  app.topic('second/+id', { retry }, (ctx) => {
    const count = (attempts.get(ctx.topic) ?? 0) + 1
    attempts.set(ctx.topic, count)
    if (count === 1) throw new Error('only the first time')
  })
  app.topic('bad/#', { retry }, () => { throw new Error('still bad') })
  app.topic('slow', async (ctx) => {
    ctx.log.warn('slow begins')
    await new Promise((resolve) => Object.assign(globalThis, { mqttasgiTestDlq: resolve }))
  })
  export const pump = mqttasgi()
  pump.topic('#', (ctx) => ctx.log.warn('the pump ran ' + ctx.topic))
`
const config = `export default {
  application: './app.ts',
  workers: [{ id: 'pump', mount: 'pumps', application: './app.ts#pump' }],
}`

interface Place {
  readonly cwd: string
  readonly archive: JournalDeadLetters
  readonly run: (line: string, env?: Readonly<Record<string, string>>) => CommandHere
  readonly ids: () => Promise<readonly string[]>
}

/** A folder with an application and these letters. */
async function place(
  t: ExecutionContext,
  letters: readonly DeadLetter[],
  files: Readonly<Record<string, string>> = { 'app.ts': app, 'mqttasgi.config.ts': config },
): Promise<Place> {
  const cwd = temporaryFolder(t, files)
  const archive = new JournalDeadLetters({
    folder: join(cwd, '.mqttasgi/dead-letters'),
    maxMessages: 100,
    maxBytes: 1e6,
  })
  t.teardown(() => archive.close())
  for (const one of letters) await archive.keep(one)
  return {
    cwd,
    archive,
    run: (line, env) => runHere(line.split(' '), { cwd, ...(env === undefined ? {} : { env }) }),
    ids: async () => (await lettersOf(archive)).map(({ id }) => id),
  }
}

async function broker(t: ExecutionContext): Promise<EmbeddedBroker> {
  const started = await startBroker({ port: 0 })
  t.teardown(() => started.close())
  return started
}

async function ended(t: ExecutionContext, command: CommandHere, code: number): Promise<string> {
  t.is(await command.ended, code, command.output())
  return command.output()
}

test('ls is a table of the letters that are meant, and says how many more there are', async (t) => {
  const one = letter({ topic: 'a/1', cause: 'held' })
  const many = Array.from({ length: 2 }, () => letter({ topic: 'b/\u001b[2J' }))
  const { run } = await place(t, [one, ...many])
  const lines = (await ended(t, run('dlq ls'), 0)).trim().split('\n')
  t.is(lines.length, 4)
  t.regex(lines[0] ?? '', /^ID +DEAD AT +CAUSE +TOPIC +ROUTE +BYTES +ERROR$/)
  t.regex(
    lines[1] ?? '',
    new RegExp(
      `^${one.id} +2025-11-24 .*Z +held +a/1 +sensors/\\+room/temp +11 +ERR_PAYLOAD_JSON: The payload`,
    ),
  )
  t.notRegex(lines.join('\n'), /[^\P{Cc}\n]/u)
  t.regex(await ended(t, run('dlq ls --topic a/#'), 0), /^ID.*\n.*a\/1.*\n$/)
  t.regex(await ended(t, run('dlq ls --topic c'), 0), /no dead letters that match in journal \//)
})

test('ls and show with --json are for programs', async (t) => {
  const full = fullLetter()
  const { run } = await place(t, [letter(), full])
  const command = run('dlq ls --json')
  await ended(t, command, 0)
  const rows = command
    .stdout()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  t.is(rows.length, 2)
  t.is(rows[0]?.['payloadBytes'], 7)
  t.is(rows[0]?.['payload'], undefined)
  const shown = run(`dlq show ${full.id} --json`)
  await ended(t, shown, 0)
  const read = JSON.parse(shown.stdout()) as Record<string, unknown>
  t.deepEqual(Buffer.from(String(read['payload']), 'base64'), full.payload)
  t.is(read['deadAt'], '2025-11-24T16:00:01.500Z')
})

test('show tells all of one letter, its payload as text or in hex', async (t) => {
  const full = fullLetter()
  const plain = letter({ payload: Buffer.from('{"celsius": 21}\nand more') })
  const { run } = await place(t, [full, plain])
  const text = await ended(t, run(`dlq show ${plain.id.slice(0, 9)}`), 0)
  t.regex(text, /^id +0.*\ntopic +sensors\/hall\/temp\nqos +1\n/)
  t.regex(
    text,
    /dead +2025-11-24 .*, after 3 attempts\ncause +failed\nerror +MqttasgiError ERR_PAYLOAD_JSON: /,
  )
  t.regex(text, /payload, 24 bytes\n {2}\{"celsius": 21\}\n {2}and more\n/)
  const hex = await ended(t, run(`dlq show ${full.id}`), 0)
  t.regex(hex, /qos +2, retained, sent before/)
  t.regex(hex, /correlation data +00 ff 0a\n/)
  t.regex(hex, /user property +__proto__ = b\n/)
  t.regex(hex, /payload, 7 bytes in hex\n {2}00000000 {2}00 0a 0d ff fe 22 00 +\.\.\.\.\."\.\n/)
  t.regex(await ended(t, run(`dlq show ${plain.id} --payload base64`), 0), /in base64\neyJ/)
})

test('an id that no letter has is a failure, one that several begin with a mistake, and nothing was done', async (t) => {
  const { run, ids } = await place(t, [letter(), letter()])
  const all = await ids()
  t.regex(await ended(t, run('dlq show zzz'), 1), /there is no dead letter "zzz"/)
  t.regex(await ended(t, run('dlq purge 0000'), 2), /more than one dead letter begins with "0000"/)
  t.regex(await ended(t, run(`dlq purge ${all[0]} zzz`), 1), /there is no dead letter "zzz"/)
  t.deepEqual(await ids(), all)
})

test('purge removes what is meant, while a server keeps its journal', async (t) => {
  const letters = [letter({ topic: 'a/1' }), letter({ topic: 'a/2' }), letter({ topic: 'b' })]
  const { run, ids } = await place(t, letters)
  t.regex(await ended(t, run('dlq purge --topic a/#'), 0), /removed 2 letters from journal/)
  t.deepEqual(await ids(), [letters[2]?.id])
  t.regex(await ended(t, run('dlq purge'), 2), /--yes/)
  t.regex(await ended(t, run('dlq purge --yes'), 0), /removed 1 letter from/)
  t.deepEqual(await ids(), [])
  t.regex(await ended(t, run('dlq ls'), 0), /no dead letters in journal/)
})

test('purge works where no server runs', async (t) => {
  const { archive, run, ids } = await place(t, [letter()])
  await archive.close()
  await ended(t, run('dlq purge --yes'), 0)
  t.deepEqual(await ids(), [])
})

withMosquitto(
  'replay --to broker publishes each letter as it came, and keeps those that nobody gets',
  async (t) => {
    const mosquitto = await startMosquitto()
    t.teardown(() => mosquitto.stop())
    const url = await recordedUrl(t, mosquitto.url)
    const sent = letter({
      topic: 'good/1',
      retain: true,
      payload: Buffer.from([0, 1, 255]),
      properties: properties({
        contentType: 'x',
        correlationData: Buffer.from([9, 0]),
        userProperties: { device: ['7', '8'] },
        subscriptionIdentifiers: [3],
      }),
    })
    const unheard = letter({ topic: 'unheard' })
    const { run, ids, cwd } = await place(t, [sent, unheard])
    const server = runHere(['--url', url, '-i', 'greenhouse', './app.ts'], { cwd })
    t.teardown(async () => {
      server.signal('SIGTERM')
      await server.ended
    })
    await server.seen(/running/)
    const replay = run('dlq replay --to broker', { MQTT_URL: url, MQTT_CLIENT_ID: 'greenhouse' })
    const output = await ended(t, replay, 1)
    t.regex(output, new RegExp(`^${sent.id}  good/1$`, 'm'))
    t.regex(output, new RegExp(`${unheard.id} stays: nobody subscribes to its topic`))
    t.regex(output, /replayed 1 to the broker at mqtt:\/\/(?:127\.0\.0\.1|localhost):\d+, 1 stay\n$/)
    t.deepEqual(await ids(), [unheard.id])
    await server.seen(new RegExp(`ran good/1 ${sent.id}`))
    t.notRegex(server.output(), /took|closed the connection/)
  },
)

test('replay --to application runs each letter where it had failed, with its attempts, and no other', async (t) => {
  const url = await recordedUrl(t, (await broker(t)).url)
  const letters = {
    good: letter({ topic: 'good/1' }),
    second: letter({ topic: 'second/1' }),
    bad: letter({ topic: 'bad/1' }),
    nowhere: letter({ topic: 'no/route' }),
    pump: letter({ topic: 'pumps/1', receiver: 'pump' }),
    gone: letter({ topic: 'good/2', receiver: 'fan' }),
    large: letter({ topic: 'good/3', cause: 'oversized', payload: Buffer.alloc(0) }),
  }
  const { run, ids } = await place(t, Object.values(letters))
  const output = await ended(t, run(`dlq replay --to application --url ${url}`), 1)
  t.regex(output, new RegExp(`ran good/1 ${letters.good.id}`))
  t.regex(output, /the pump ran pumps\/1/)
  t.is(output.match(/the pump ran/g)?.length, 1)
  t.regex(output, new RegExp(`${letters.bad.id} stays: it failed again: still bad`))
  // The one letter there is: none is named that nobody keeps.
  t.regex(output, /The chain for "bad\/1" failed in route "bad\/#": still bad/)
  t.notRegex(output, /is a dead letter now/)
  t.regex(output, new RegExp(`${letters.nowhere.id} stays: no route matches its topic any more`))
  t.regex(output, new RegExp(`${letters.gone.id} stays: no worker "fan" is declared in the configuration`))
  t.regex(output, new RegExp(`${letters.large.id} stays: nothing of its payload was kept`))
  t.regex(output, /replayed 3 in the application, 4 stay\n$/)
  t.deepEqual(await ids(), [letters.bad.id, letters.nowhere.id, letters.gone.id, letters.large.id])
})

const groups = `
  import { mqttasgi, MqttConsumer } from 'mqttasgi'
  export const app = mqttasgi()
  const route = (name, pattern) =>
    app.topic(pattern, { retry: { attempts: 1 } }, (ctx) => {
      ctx.log.warn(name + ' ran ' + ctx.topic + (ctx.retain ? ', retained' : ''))
      const isReplay = ctx.properties.userProperties?.['mqttasgi-replay'] !== undefined
      if (name === 'shared' && !isReplay) throw new Error('not now')
    })
  route('plain', 'w/#')
  route('shared', '$share/g3/w/+id')
  route('same', '$share/g3/w/#')
  route('other', '$share/g4/+/1')
  export const pump = mqttasgi()
  pump.topic('#', (ctx) => ctx.log.warn('the pump ran ' + ctx.topic))
  pump.topic('$share/g3/#', (ctx) => ctx.log.warn('the shared pump ran ' + ctx.topic))
  export class Meter extends MqttConsumer {
    async connect() {
      await this.subscribe('m/#')
      await this.subscribe('$share/g3/m/+')
    }
    receive({ topic }) { this.log.warn('the meter ran ' + topic) }
  }
`
const withGroups = {
  'app.ts': groups,
  'mqttasgi.config.ts': `export default {
    application: './app.ts#app',
    workers: [
      { id: 'pump', mount: 'w', share: 'crew', application: './app.ts#pump' },
      { id: 'meter', application: './app.ts#Meter' },
    ],
  }`,
}

withMosquitto('what failed in a share group is replayed in that group, and nowhere else', async (t) => {
  const mosquitto = await startMosquitto()
  t.teardown(() => mosquitto.stop())
  const url = await recordedUrl(t, mosquitto.url)
  const { run, ids, cwd } = await place(t, [], withGroups)
  const server = runHere(['--url', url], { cwd })
  t.teardown(async () => {
    server.signal('SIGTERM')
    await server.ended
  })
  await server.seen(/running/)
  const publisher = await startPublisher(url)
  t.teardown(() => publisher.close())
  await publisher.publish('w/2', 'x')
  await server.seen(/is a dead letter now/)
  await server.seen(/plain ran w\/2/)
  t.is((await ids()).length, 1)
  t.regex(await ended(t, run('dlq show 0'), 0), /^share group +g3$/m)
  const output = await ended(t, run(`dlq replay --to application --url ${url}`), 0)
  t.deepEqual(output.match(/\w+ ran w.*/g), ['shared ran w/2'])
  t.deepEqual(await ids(), [])
})

withMosquitto('a letter runs in the chain that it had come for, or stays where there is none', async (t) => {
  const mosquitto = await startMosquitto()
  t.teardown(() => mosquitto.stop())
  const url = await recordedUrl(t, mosquitto.url)
  const letters = {
    own: letter({ topic: 'w/1', share: null, retain: true }),
    group: letter({ topic: 'w/1', share: 'g3', retain: true }),
    other: letter({ topic: 'w/1', share: 'g4' }),
    older: letter({ topic: 'w/1', share: undefined }),
    pump: letter({ topic: 'w/1', share: 'crew', receiver: 'pump' }),
    sharedPump: letter({ topic: 'w/1', share: 'g3', receiver: 'pump' }),
    meter: letter({ topic: 'm/1', share: 'g3', receiver: 'meter' }),
    gone: letter({ topic: 'w/1', share: 'g5' }),
    moved: letter({ topic: 'x/1', share: null }),
    nowhere: letter({ topic: 'x', share: 'g3' }),
  }
  const { run, ids } = await place(t, Object.values(letters), withGroups)
  const output = await ended(t, run(`dlq replay --to application --url ${url}`), 1)
  t.deepEqual(output.match(/(shared )?\w+ ran .*/g), [
    'plain ran w/1, retained',
    'shared ran w/1, retained',
    'other ran w/1',
    'plain ran w/1',
    'pump ran w/1',
    'shared pump ran w/1',
    'meter ran m/1',
  ])
  t.regex(output, new RegExp(`${letters.gone.id} stays: no route of the share group "g5" matches its topic`))
  t.regex(output, new RegExp(`${letters.moved.id} stays: no route outside of share groups matches its topic`))
  t.regex(output, new RegExp(`${letters.nowhere.id} stays: no route matches its topic any more`))
  t.deepEqual(await ids(), [letters.gone.id, letters.moved.id, letters.nowhere.id])
})

test('what a replayed handler publishes reaches the broker', async (t) => {
  const url = await recordedUrl(t, (await broker(t)).url)
  const { run, cwd } = await place(t, [letter({ topic: 'good/7' })])
  const listener = runHere(['--url', url, './listener.ts'], {
    cwd: temporaryFolder(t, {
      'listener.ts': `import { mqttasgi } from 'mqttasgi'
        export const app = mqttasgi()
        app.topic('done/+id', (ctx) => ctx.log.warn('heard of ' + ctx.params.id))`,
    }),
  })
  t.teardown(async () => {
    listener.signal('SIGTERM')
    await listener.ended
  })
  await listener.seen(/running/)
  await ended(t, run(`dlq replay --to application --url ${url}`), 0)
  await listener.seen(/heard of 7/)
  t.not(cwd, '')
})

const announcing = `
  import { mqttasgi, MqttConsumer } from 'mqttasgi'
  export const app = mqttasgi()
  let own
  app.onConnect(async (client) => {
    own = client
    await client.publish('status/app', 'online', { retain: true })
    await client.spawn('pump', './app.ts#app')
  })
  app.onDisconnect(() => own.publish('status/app', 'stopped', { retain: true }))
  app.topic('in/+id', (ctx) => ctx.publish('status/done/app', ctx.params.id))
  export class Meter extends MqttConsumer {
    static options = { retry: { attempts: 1 } }
    async connect() {
      await this.subscribe('in/+id')
      await this.publish('status/meter', 'online', { retain: true })
      if (this.scope.instanceType === 'master') await this.spawn('pump', './app.ts#app')
    }
    async receive({ topic }) {
      if (topic === 'in/spawn') await this.spawn('pump', './app.ts#app')
      await this.publish('status/done/' + this.scope.appId, topic)
    }
    disconnect() { return this.publish('status/meter', 'stopped', { retain: true }) }
  }
`

test('at a replay nothing is said but by what handles the letters', async (t) => {
  const started = await broker(t)
  const url = await recordedUrl(t, started.url)
  const client = await connectAsync(started.url)
  t.teardown(() => client.endAsync())
  const said: string[] = []
  const end = new Deferred()
  client.on('message', (topic, payload) => {
    said.push(`${topic} ${payload.toString()}`)
    if (topic === 'status/end') end.resolve()
  })
  await client.subscribeAsync('status/#', { qos: 1 })
  const workers = `[
    { id: 'meter', application: './app.ts#Meter' },
    { id: 'thread', application: './app.ts#app', thread: true },
    { id: 'meterThread', application: './app.ts#Meter', thread: true },
  ]`
  const ofAll = ['application', 'meter', 'thread', 'meterThread'].map((receiver) =>
    letter({ topic: 'in/1', receiver }),
  )
  const all = await place(t, ofAll, {
    'app.ts': announcing,
    'mqttasgi.config.ts': `export default { application: './app.ts#app', workers: ${workers} }`,
  })
  await ended(t, all.run(`dlq replay --to application --url ${url}`), 0)
  const spawning = letter({ topic: 'in/spawn' })
  const consumer = await place(t, [letter({ topic: 'in/1' }), spawning], {
    'app.ts': announcing,
    'mqttasgi.config.ts': "export default { application: './app.ts#Meter' }",
  })
  const output = await ended(t, consumer.run(`dlq replay --to application --url ${url}`), 1)
  t.regex(output, new RegExp(`${spawning.id} stays: .*"pump" is not spawned at a replay`))
  t.deepEqual(await consumer.ids(), [spawning.id])
  await client.publishAsync('status/end', '', { qos: 1 })
  await end.promise
  t.deepEqual(said, [
    'status/done/app 1',
    'status/done/meter in/1',
    'status/done/app 1',
    'status/done/meterThread in/1',
    'status/done/0 in/1',
    'status/end ',
  ])
})

test('the first signal ends a replay between two letters', async (t) => {
  const url = await recordedUrl(t, (await broker(t)).url)
  const [slow, next] = [letter({ topic: 'slow' }), letter({ topic: 'good/1' })]
  const { run, ids } = await place(t, [slow, next])
  const command = run(`dlq replay --to application --url ${url}`)
  await command.seen(/slow begins/)
  command.signal('SIGINT')
  Reflect.get(globalThis, 'mqttasgiTestDlq')()
  t.regex(await ended(t, command, 130), /interrupted: replayed 1 in the application\n$/)
  t.deepEqual(await ids(), [next.id])
})

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} ends a replay that still connects, with ${code}, and every letter stays`, async (t) => {
    const gone = await startBroker({ port: 0 })
    const { url } = gone
    await gone.close()
    const { run, ids } = await place(t, [letter()])
    const all = await ids()
    for (const to of ['broker', 'application']) {
      const command = run(`dlq replay --to ${to} --url ${url} --retries 0`)
      await command.seen(/Next try in/)
      command.signal(signal)
      t.regex(await ended(t, command, code), /interrupted: replayed 0 [^]*\n$/)
    }
    t.deepEqual(await ids(), all)
  })
}

test('a broker that can not be reached is said, and every letter stays', async (t) => {
  const gone = await startBroker({ port: 0 })
  const { url } = gone
  await gone.close()
  const { run, ids } = await place(t, [letter()])
  const all = await ids()
  for (const to of ['broker', 'application'])
    t.regex(await ended(t, run(`dlq replay --to ${to} --url ${url} --retries 1`), 1), /ECONNREFUSED/)
  t.deepEqual(await ids(), all)
})

test('replay with nothing to replay says so, and connects to nothing', async (t) => {
  const nowhere = 'dlq replay --to broker --url mqtt://127.0.0.1:1'
  const empty = await place(t, [])
  t.regex(await ended(t, empty.run(nowhere), 0), / no dead letters in journal \S+\n$/)
  const { run } = await place(t, [letter()])
  t.regex(
    await ended(t, run(`${nowhere} --topic nothing/of/that`), 0),
    / no dead letters that match in journal \S+\n$/,
  )
})

test('where letters are published, or not kept at all, the command says so, and shows those that are here', async (t) => {
  const empty = await place(t, [])
  const topic = '--dead-letter-store topic --dead-letter-topic dead/letters'
  const output = await ended(t, empty.run(`dlq ls ${topic}`), 78)
  t.regex(
    output,
    /dead letters are published to "dead\/letters".*only its subscribers have them.*ERR_DEAD_LETTERS_ELSEWHERE/,
  )
  t.regex(
    await ended(t, empty.run('dlq ls --dead-letter-store none'), 78),
    /not kept .*deadLetter\.store is none/,
  )
  const spooled = await place(t, [letter()])
  const shown = await ended(t, spooled.run(`dlq ls ${topic}`), 0)
  t.regex(shown, /these are the ones in journal .*\nID /)
})
