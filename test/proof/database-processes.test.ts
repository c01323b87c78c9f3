// examples/database as processes: one is killed between its commit and the acknowledgement, and the example as it stands.
import { eq } from 'drizzle-orm'
import { startBroker } from 'mqttasgi/broker'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { openDatabase } from '../../examples/database/database.ts'
import { readings, sensors } from '../../examples/database/schema.ts'
import { startScript } from '../acceptance/script.ts'
import { startPostgres } from '../helpers/postgres.ts'
import { recording } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const withPostgres = serverTest('postgres')

async function startedPostgres(t: ExecutionContext): Promise<string> {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  return server.url
}

type Run = (title: string, implementation: (t: ExecutionContext) => Promise<void>) => void

const databases: readonly (readonly [where: string, run: Run, place: typeof startedPostgres])[] = [
  [
    'PGlite',
    (title, implementation) => test(title, implementation),
    (t) => Promise.resolve(join(temporaryFolder(t), 'data')),
  ],
  ['PostgreSQL', withPostgres, startedPostgres],
]

for (const [where, run, placeOf] of databases) {
  run(`${where}: a process that is killed between commit and acknowledgement leaves one row`, async (t) => {
    const broker = await startBroker({ port: 0 })
    t.teardown(() => broker.close())
    const place = await placeOf(t)
    const proxy = await recording(t, Number(new URL(broker.url).port), {})
    const program = ['test/proof/programs/readings.ts', proxy.url, place, join(temporaryFolder(t), 'state')]

    const victim = startScript(t, [...program, 'kill'])
    await victim.line(/^subscribed$/)
    await broker.publish('sensors/killed/readings', JSON.stringify({ id: '1', celsius: 90 }), { qos: 1 })
    t.is(await victim.ended, null)
    t.true(victim.lines.includes('committed sensors/killed/readings'), victim.lines.join('\n'))

    const heir = startScript(t, program)
    await heir.line(/^committed/)
    heir.signal('SIGTERM')
    t.is(await heir.ended, 0, heir.lines.join('\n'))
    const { db, close } = await openDatabase(place)
    t.teardown(close)
    const rows = await db.select().from(readings)
    t.deepEqual(
      rows.map(({ id }) => id),
      ['1'],
    )
    const [counter] = await db.select().from(sensors).where(eq(sensors.sensor, 'killed'))
    t.is(counter?.readings, 1)
  })

  run(`${where}: the example runs as its first lines say`, async (t) => {
    const place = where === 'PGlite' ? [] : [await placeOf(t)]
    const script = startScript(t, ['examples/database/main.ts', ...place])
    t.is(await script.ended, 0, script.lines.join('\n'))
    t.true(script.lines.includes('alarm of hall: {"id":"2","celsius":85}'))
    t.true(script.lines.includes('hall: 2 readings, the last one 85 °C'))
    t.true(script.lines.includes('1 dead letter'))
  })
}
