// Readings go into a database, each exactly once, though messages may come twice; `main.ts` runs it.
import { sql } from 'drizzle-orm'
import { mqttasgi, Reject, type Application, type Context } from 'mqttasgi'
import type { Database } from './database.ts'
import { readings, sensors } from './schema.ts'
import { transaction, transactionOf } from './transaction.ts'

const TOO_HOT = 80
const AN_HOUR_MS = 3_600_000

/** The application upon a database. */
export function application(db: Pick<Database, 'transaction'>): Application {
  // What is wrong with a reading is Reject, below. All other errors are the database's, which may be away: they are
  // tried again for an hour. Then the reading becomes a dead letter, and `mqttasgi dlq replay` brings it back.
  const app = mqttasgi({ retry: { attempts: 1_000_000, maxDelayMs: 10_000 }, holdMs: AN_HOUR_MS })
  app.use(transaction(db))

  app.topic('sensors/+sensor/readings', async (ctx) => {
    const tx = transactionOf(ctx)
    const { sensor } = ctx.params
    const { id, celsius } = readingOf(ctx)

    const added = await tx.insert(readings).values({ sensor, id, celsius }).onConflictDoNothing().returning()
    if (added.length === 0) return ctx.log.info(`reading ${id} of ${sensor} is there already`)
    const more = { readings: sql`${sensors.readings} + 1`, celsius }
    await tx
      .insert(sensors)
      .values({ sensor, readings: 1, celsius })
      .onConflictDoUpdate({ target: sensors.sensor, set: more })

    // When this fails, both tables are as they were, and the message is tried again.
    if (celsius > TOO_HOT) await ctx.publish(`alarms/${sensor}`, { id, celsius })
  })
  return app
}

interface Reading {
  readonly id: string
  readonly celsius: number
}

function readingOf(ctx: Context): Reading {
  const { id, celsius } = ctx.json<Record<string, unknown>>() ?? {}
  if (typeof id !== 'string' || typeof celsius !== 'number') {
    throw new Reject('a reading has a text as id, and a number as celsius', { reasonCode: 0x99 })
  }
  return { id, celsius }
}
