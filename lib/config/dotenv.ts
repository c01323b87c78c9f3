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
    return parseEnv(readFileSync(file, 'utf8'))
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    // Some keep a directory of that name.
    if (code === 'ENOENT' || code === 'EISDIR') return {}
    throw new MqttasgiError('ERR_CONFIG_FILE', `${file} can not be read: ${reasonOf(error)}.`, {
      cause: error,
    })
  }
}
