// The tables: what was measured, and what is known of each sensor.
import { doublePrecision, integer, pgTable, primaryKey, text } from 'drizzle-orm/pg-core'

// The sensor numbers its readings, and a reading that comes twice brings the same number: no second row.
export const readings = pgTable(
  'readings',
  {
    sensor: text().notNull(),
    id: text().notNull(),
    celsius: doublePrecision().notNull(),
  },
  (table) => [primaryKey({ columns: [table.sensor, table.id] })],
)

export const sensors = pgTable('sensors', {
  sensor: text().primaryKey(),
  readings: integer().notNull(),
  celsius: doublePrecision().notNull(),
})

// A project of its own would have migrations, made by drizzle-kit.
export const statements = [
  `create table if not exists readings (
    sensor text not null, id text not null, celsius double precision not null, primary key (sensor, id))`,
  `create table if not exists sensors (
    sensor text primary key, readings integer not null, celsius double precision not null)`,
]
