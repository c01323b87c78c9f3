// Where words for people go: the port a logger has to fill, and the one that says nothing.

/** A logger as most libraries have it; `fields` is small and flat. */
export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

/** What belongs to a line besides its sentence. */
export type LogFields = Readonly<Record<string, unknown>>

/** Says nothing. */
export const silentLog: Logger = Object.freeze({ debug() {}, info() {}, warn() {}, error() {} })
