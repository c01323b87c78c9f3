// examples/database: one transaction for each message and one row for each reading, in PGlite and in PostgreSQL.
import test, { type ExecutionContext } from 'ava'
import { eq } from 'drizzle-orm'
import { mqttasgi, serve, type Application } from 'mqttasgi'
import { dispatch, MemoryTransport } from 'mqttasgi/testing'
import { EventEmitter, on } from 'node:events'
import { application } from '../../examples/database/app.ts'
import { openDatabase, type Database, type OpenDatabase } from '../../examples/database/database.ts'
import { readings, sensors } from '../../examples/database/schema.ts'
import { transaction, transactionOf } from '../../examples/database/transaction.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { silentLog } from '../../lib/core/log.ts'
import { startPostgres, type Postgres } from '../helpers/postgres.ts'
import { serverTest } from '../helpers/server-test.ts'

const withPostgres = serverTest('postgres')

// Each takes seconds to make, so all tests share them, each with a sensor of its own.
let pglite: OpenDatabase
let server: Promise<Postgres> | undefined
let onServer: Promise<OpenDatabase> | undefined

test.before(async () => {
  // It keeps this thread busy for seconds, in which no test could see its time limits kept.
  pglite = await openDatabase(undefined)
})

async function postgres(): Promise<OpenDatabase> {
  server ??= startPostgres()
  onServer ??= server.then(({ url }) => openDatabase(url))
  return await onServer
}

test.after.always(async () => {
  await pglite.close()
  await (await onServer)?.close()
  await (await server)?.stop()
})

type Written = readonly [rows: readonly string[], counted: number | undefined]

/** The ids of a sensor's readings, and how many its own row says there are. */
async function written(db: Database, sensor: string): Promise<Written> {
  const rows = await db.select().from(readings).where(eq(readings.sensor, sensor)).orderBy(readings.id)
  const [counter] = await db.select().from(sensors).where(eq(sensors.sensor, sensor))
  return [rows.map(({ id }) => id), counter?.readings]
}

interface Stage {
  readonly transport: MemoryTransport
  readonly stop: () => Promise<unknown>
  /** Resolves with the next end of an attempt, none left out: what it failed with, or undefined. */
  readonly end: () => Promise<Error | undefined>
}

/** The application on a broker in memory; the next attempt waits until `failed` has ended. */
async function stage(
  t: ExecutionContext,
  app: Application,
  failed: (error: Error, transport: MemoryTransport) => unknown = () => {},
): Promise<Stage> {
  const transport = new MemoryTransport()
  const attempts = new EventEmitter<{ end: [Error | undefined] }>()
  const ends = on(attempts, 'end') as AsyncIterableIterator<[Error | undefined]>
  const outer = mqttasgi()
  outer.use(async (_ctx, through) => {
    await through()
    attempts.emit('end', undefined)
  })
  outer.use(app)
  outer.onError(async (error) => {
    await failed(error, transport)
    attempts.emit('end', error)
  })
  const running = await serve(outer, { transport, log: silentLog, deadLetter: { store: 'none' } })
  t.teardown(() => running.stop({ drainTimeoutMs: 0 }))
  return {
    transport,
    stop: () => running.stop(),
    end: async () => {
      const { value } = (await ends.next()) as { value: [Error | undefined] }
      return value[0]
    },
  }
}

const hot = (id: string): string => JSON.stringify({ id, celsius: 90 })

type Run = (title: string, implementation: (t: ExecutionContext) => Promise<void>) => void

const databases: readonly (readonly [where: string, run: Run, open: () => Promise<OpenDatabase>])[] = [
  ['PGlite', (title, implementation) => test(title, implementation), () => Promise.resolve(pglite)],
  ['PostgreSQL', withPostgres, postgres],
]

for (const [where, run, open] of databases) {
  run(`${where}: a reading becomes a row, and its sensor counts it`, async (t) => {
    const { db } = await open()
    const app = application(db)
    for (const id of ['1', '2']) await dispatch(app, 'sensors/plain/readings', { id, celsius: 20 })
    t.deepEqual(await written(db, 'plain'), [['1', '2'], 2])
  })

  run(`${where}: what is no reading is a dead letter at once, and no row`, async (t) => {
    const { db } = await open()
    for (const payload of ['no JSON', 'null', '[]', '{"id":1,"celsius":2}', '{"id":"1"}']) {
      const { outcome } = await dispatch(application(db), 'sensors/broken/readings', payload, { attempts: 3 })
      t.is(outcome, 'deadLettered', payload)
    }
    t.deepEqual(await written(db, 'broken'), [[], undefined])
  })

  run(
    `${where}: a handler that fails after its inserts leaves nothing, and the next attempt all of it`,
    async (t) => {
      const { db } = await open()
      const { transport, end, stop } = await stage(t, application(db), async (error, { acknowledged }) => {
        t.regex(error.message, /refuse/)
        t.deepEqual(await written(db, 'refused'), [[], undefined])
        t.deepEqual(acknowledged, [])
      })
      transport.failAt('publish', 1, { type: 'refuse', reasonCode: 0x97 })
      transport.deliver('sensors/refused/readings', hot('1'))
      t.truthy(await end())
      t.is(await end(), undefined)
      t.deepEqual(await written(db, 'refused'), [['1'], 1])
      await stop()
      t.deepEqual(transport.acknowledged, [1])
    },
  )

  run(`${where}: a reading that is sent again leaves one row, and is acknowledged`, async (t) => {
    const { db } = await open()
    const { transport, end, stop } = await stage(t, application(db))
    for (const dup of [false, true, true]) {
      transport.deliver('sensors/again/readings', hot('1'), { dup })
      t.is(await end(), undefined)
    }
    await stop()
    t.deepEqual(await written(db, 'again'), [['1'], 1])
    t.is(transport.acknowledged.length, 3)
    t.is(transport.published.length, 1)
  })

  run(`${where}: a reading that two instances get at the same time leaves one row`, async (t) => {
    const { db } = await open()
    const reading = { id: '1', celsius: 20 }
    const both = [application(db), application(db)].map((app) =>
      dispatch(app, 'sensors/twins/readings', reading),
    )
    for (const { error } of await Promise.all(both)) t.is(error, undefined)
    t.deepEqual(await written(db, 'twins'), [['1'], 1])
  })

  run(
    `${where}: an attempt whose time is over writes nothing, though its handler goes on to the end`,
    async (t) => {
      const { db } = await open()
      const over = new Deferred<unknown>()
      const app = mqttasgi({ timeoutMs: 20, retry: { attempts: 1 } })
      app.use((ctx, next) => {
        const ended = transaction(db)(ctx, next) as Promise<unknown>
        ended.then(over.resolve.bind(over), over.resolve.bind(over))
        return ended
      })
      app.topic('late', async (ctx) => {
        await transactionOf(ctx).insert(readings).values({ sensor: 'late', id: '1', celsius: 20 })
        if (!ctx.signal.aborted) await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
      })
      const { error } = await dispatch(app, 'late')
      t.regex(error?.message ?? '', /20 ms/)
      t.true((await over.promise) instanceof Error)
      t.deepEqual(await written(db, 'late'), [[], undefined])
    },
  )
}

test('while there is no database nothing is acknowledged, and afterwards everything is there', async (t) => {
  const { db } = pglite
  let isAway = true
  const flaky: Pick<Database, 'transaction'> = {
    transaction: (work) => (isAway ? Promise.reject(new Error('away')) : db.transaction(work)),
  }
  const { transport, end, stop } = await stage(t, application(flaky))
  transport.deliver('sensors/patient/readings', hot('1'))
  // More often than the three times that are the default.
  for (let attempt = 1; attempt <= 4; attempt++) t.is((await end())?.message, 'away')
  t.deepEqual(transport.acknowledged, [])
  isAway = false
  t.is(await end(), undefined)
  await stop()
  t.deepEqual(transport.acknowledged, [1])
  t.deepEqual(await written(db, 'patient'), [['1'], 1])
})

withPostgres(
  'PostgreSQL that dies before a commit, and comes back, has one row for each reading',
  async (t) => {
    const own = await startPostgres()
    t.teardown(() => own.stop())
    const { db, close } = await openDatabase(own.url)
    t.teardown(close)
    let commits = 0
    const dying: Pick<Database, 'transaction'> = {
      transaction: (work) =>
        db.transaction(async (tx) => {
          const result = await work(tx)
          if (++commits === 1) await own.kill()
          return result
        }),
    }
    const { transport, end, stop } = await stage(t, application(dying))
    transport.deliver('sensors/survivor/readings', hot('1'))
    t.truthy(await end(), 'the commit did not get through')
    t.truthy(await end(), 'nobody is there')
    t.deepEqual(transport.acknowledged, [])
    await own.restart()
    while ((await end()) !== undefined) t.deepEqual(transport.acknowledged, [])
    await stop()
    t.deepEqual(transport.acknowledged, [1])
    t.deepEqual(await written(db, 'survivor'), [['1'], 1])
  },
)
