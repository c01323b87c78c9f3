// User name and password as they are now: out of the settings, a file, or what the user's functions say.
import { readFile } from 'node:fs/promises'
import { type TextSource, typeInWords } from './value.ts'
import type { BrokerSettings } from './settings.ts'
import { Secret } from './secret.ts'

type Given = Pick<BrokerSettings, 'username' | 'password' | 'passwordFile'>

/** What the broker is told. */
export interface CurrentCredentials {
  readonly username: string | undefined
  readonly password: string | undefined
}

/**
 * Asks for both, at once where nothing has to be read; a password that was not known before is told. Never shows what it got: an error names the option and the file.
 *
 * @example
 * currentCredentials(resolveOptions({ broker: { username: 'u', password: 'p' } }).broker) // { username: 'u', … }
 */
export function currentCredentials(
  given: Given,
  heard?: (password: string) => void,
): CurrentCredentials | Promise<CurrentCredentials> {
  const { password, passwordFile, username } = given
  if (passwordFile === undefined && typeof password !== 'function' && typeof username !== 'function') {
    return { username, password: password?.reveal() }
  }
  return read(given).then((credentials) => {
    if (credentials.password !== undefined) heard?.(credentials.password)
    return credentials
  })
}

async function read({ password, passwordFile, username }: Given): Promise<CurrentCredentials> {
  return {
    username: typeof username === 'function' ? await ask('broker.username', username) : username,
    password:
      passwordFile !== undefined
        ? await readPassword(passwordFile)
        : password instanceof Secret || password === undefined
          ? password?.reveal()
          : await ask('broker.password', password),
  }
}

async function ask(path: string, source: TextSource): Promise<string> {
  const text: unknown = await source()
  if (typeof text === 'string' && text !== '') return text
  const got = text === '' ? 'an empty one' : typeInWords(text)
  throw new Error(`the function given as ${path} is expected to return a text, and returned ${got}.`)
}

/** Without the line end that editors and `echo` put behind it. */
async function readPassword(file: string): Promise<string> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    throw new Error(`broker.passwordFile ${file} can not be read (${code}).`, { cause: error })
  }
  const password = text.replace(/\r?\n$/, '')
  if (password === '') throw new Error(`broker.passwordFile ${file} is empty.`)
  return password
}
