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

/** As many characters of a stranger's text stand in a line. */
export const MOST_SHOWN = 256

/** A topic, or any other text that came from outside, as it stands in a line: cut where it is long. */
export function inLog(text: string): string {
  return text.length <= MOST_SHOWN ? text : `${text.slice(0, MOST_SHOWN - 1)}…`
}

/** Says nothing. */
export const silentLog: Logger = Object.freeze({ debug() {}, info() {}, warn() {}, error() {} })

/** The same log, except that its own failures stay in it: what is said of a message must not decide its end. */
export function unfailing(log: Logger): Logger {
  const at =
    (level: keyof Logger) =>
    (message: string, fields?: LogFields): void => {
      try {
        log[level](message, fields)
      } catch {
        // There is nowhere left to say it.
      }
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
