// A log for people: one line an event, on stderr, in which nothing of what came from outside can move the cursor.
import type { LogFields, Logger } from '../core/log.ts'

/** How much is said, and where. */
export interface LineLogOptions {
  /** 0: warnings and errors; 1: information too; 2: everything, with stack traces. */
  readonly verbosity: 0 | 1 | 2
  /** Takes a line without its end; stderr unless told otherwise. */
  readonly write?: (line: string) => void
  readonly now?: () => Date
}

const LONGEST_LINE = 2_000

/** A logger of lines such as `12:31:07.113 warn  The broker …`. */
export function lineLog(options: LineLogOptions): Logger {
  const {
    verbosity,
    write = (line) => void process.stderr.write(`${line}\n`),
    now = () => new Date(),
  } = options
  const say = (level: string, message: string, fields?: LogFields): void => {
    const time = now().toTimeString().slice(0, 8)
    write(`${time} ${level.padEnd(5)} ${escapeControls(message).slice(0, LONGEST_LINE)}`)
    const error = fields?.['error']
    if (verbosity >= 2 && error instanceof Error && error.stack !== undefined) {
      for (const line of framesOf(error.message, error.stack))
        write(escapeControls(line).slice(0, LONGEST_LINE))
    }
  }
  return {
    debug: (message, fields) => verbosity >= 2 && say('debug', message, fields),
    info: (message, fields) => verbosity >= 1 && say('info', message, fields),
    warn: (message, fields) => say('warn', message, fields),
    error: (message, fields) => say('error', message, fields),
  }
}

// Without the message, whose lines a stranger may have written, and set in from where a line of the log begins.
function framesOf(message: string, stack: string): string[] {
  const at = message === '' ? -1 : stack.indexOf(message)
  const frames = at < 0 ? stack.slice(stack.indexOf('\n') + 1) : stack.slice(at + message.length + 1)
  return frames.split('\n').map((line) => `    ${line.trim()}`)
}

/** C0, DEL, C1, line separators and bidirectional controls as `\\u{…}`: a topic may hold any of them. */
export function escapeControls(text: string): string {
  return text.replace(/[\p{Cc}\u061c\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
  })
}
