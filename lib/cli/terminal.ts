// Where the words of the command line go: answers to stdout, all that happens to stderr, secrets nowhere.
import { toError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import { redacted } from '../config/secret.ts'
import { escapeControls, lineLog } from '../observe/line-log.ts'
import { MqttasgiError } from '../core/errors.ts'

/** The two streams, as far as they are needed. */
export interface Streams {
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
}

// A shorter one would be found in every second word.
const shortestSecret = 4

/** Speaks to the person, or the log collector, at the other end. */
export class Terminal {
  readonly #streams: Streams
  readonly #secrets = new Set<string>()
  readonly #announce: Logger
  /** Whether stack traces are wanted: at verbosity 2, and with DEBUG set. */
  isDetailed = false

  constructor(streams: Streams) {
    this.#streams = streams
    this.#announce = this.log(1)
  }

  /** From now on this text is replaced wherever it would be printed. */
  hide(secret: string | undefined): void {
    if (secret === undefined || secret.length < shortestSecret) return
    this.#secrets.add(secret)
    this.#secrets.add(encodeURIComponent(secret))
  }

  /** Lines of an answer, on stdout. */
  print(text: string): void {
    this.#streams.stdout.write(
      `${text
        .split('\n')
        .map((line) => this.#clean(line))
        .join('\n')}\n`,
    )
  }

  /** A change of state, said whatever the verbosity is. */
  say(message: string): void {
    this.#announce.info(message)
  }

  /** A log whose lines go to stderr. */
  log(verbosity: 0 | 1 | 2): Logger {
    return lineLog({ verbosity, write: (line) => this.#error(line) })
  }

  /** One line for what went wrong, with its code; all stacks when `isDetailed`. */
  fail(thrown: unknown): void {
    const error = toError(thrown)
    const code = error instanceof MqttasgiError ? ` (${error.code})` : ''
    this.#error(`mqttasgi: ${error.message.replaceAll(/\s*\n\s*/g, ' ')}${code}`)
    for (let cause: unknown = error; this.isDetailed && cause instanceof Error; cause = cause.cause) {
      for (const line of (cause.stack ?? '').split('\n')) this.#error(`  ${line}`)
    }
  }

  #error(line: string): void {
    this.#streams.stderr.write(`${this.#clean(line)}\n`)
  }

  #clean(line: string): string {
    let clean = line
    for (const secret of this.#secrets) clean = clean.replaceAll(secret, redacted)
    return escapeControls(clean)
  }
}
