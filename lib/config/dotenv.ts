// The .env file of the working directory: read, never written into process.env, never sought elsewhere.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import { MqttasgiError } from '../core/errors.ts'
import type { Texts } from './levels.ts'
import { reasonOf } from './tls.ts'

/** What `.env` in `directory` says; nothing when there is none. Codes: `ERR_CONFIG_FILE`. */
export function readDotenv(directory: string): Texts {
  const file = join(directory, '.env')
  try {
    const text = readFileSync(file, 'utf8')
    refuseOpenQuote(text, file)
    return parseEnv(text)
  } catch (error) {
    if (error instanceof MqttasgiError) throw error
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    // Some keep a directory of that name.
    if (code === 'ENOENT' || code === 'EISDIR') return {}
    throw new MqttasgiError('ERR_CONFIG_FILE', `${file} can not be read: ${reasonOf(error)}.`, {
      cause: error,
    })
  }
}

const opening = /^[ \t]*(?:export[ \t]+)?[\w.-]+[ \t]*=[ \t]*(["'`])/

// The runtime takes such a quote for a part of the value, or goes on to the next one that there is, and a password
// is another one then without a word. What stands behind that next quote gives it away.
function refuseOpenQuote(text: string, file: string): void {
  let line = 1
  for (let at = 0; at < text.length;) {
    const end = lineEnd(text, at)
    const [start = '', quote] = opening.exec(text.slice(at, end)) ?? []
    const close = quote === undefined ? at : text.indexOf(quote, at + start.length)
    const isOpen =
      close === -1 || (close > end && !/^[ \t\r]*(#|$)/.test(text.slice(close + 1, lineEnd(text, close))))
    if (isOpen) {
      const what = `the value at line ${line} begins with a quote that is not closed`
      const mend = 'Close it, or put the value into other quotes.'
      throw new MqttasgiError('ERR_CONFIG_FILE', `${file} can not be read: ${what}. ${mend}`)
    }
    const next = lineEnd(text, Math.max(close, at)) + 1
    line += text.slice(at, next).split('\n').length - 1
    at = next
  }
}

function lineEnd(text: string, at: number): number {
  const end = text.indexOf('\n', at)
  return end === -1 ? text.length : end
}
