// Opens the database: PGlite, which is PostgreSQL inside of this process, or a PostgreSQL server.
import { PGlite } from '@electric-sql/pglite'
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core'
import { drizzle as drizzlePostgres } from 'drizzle-orm/node-postgres'
import { drizzle as drizzlePglite } from 'drizzle-orm/pglite'
import { Pool } from 'pg'
import { statements } from './schema.ts'

export type Database = PgDatabase<PgQueryResultHKT>
export type Transaction = Parameters<Parameters<Database['transaction']>[0]>[0]

export interface OpenDatabase {
  readonly db: Database
  readonly close: () => Promise<void>
}

/** `postgres://…` for a server, a folder for PGlite on disk, undefined for PGlite in memory. */
export async function openDatabase(place: string | undefined): Promise<OpenDatabase> {
  const open = place?.startsWith('postgres') === true ? openServer(place) : await openFolder(place)
  await open.db.transaction(async (tx) => {
    // Of processes that start at the same time one makes the tables, and the others wait for it.
    await tx.execute('select pg_advisory_xact_lock(1)')
    for (const statement of statements) await tx.execute(statement)
  })
  return open
}

function openServer(url: string): OpenDatabase {
  // It connects when it is asked something, and again after the server has been away.
  const pool = new Pool({ connectionString: url, connectionTimeoutMillis: 10_000 })
  // A connection that is lost is also an event, which nobody hears while a handler has the connection: that would end
  // the process. The handler's next query fails, and that is enough.
  pool.on('connect', (client) => client.on('error', () => {}))
  pool.on('error', () => {})
  return { db: drizzlePostgres(pool), close: () => pool.end() }
}

async function openFolder(folder: string | undefined): Promise<OpenDatabase> {
  const client = await PGlite.create(folder)
  return { db: drizzlePglite(client), close: () => client.close() }
}
