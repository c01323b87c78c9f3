// Reads certificates and keys, and refuses before connecting what could not work.
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { MqttasgiError, toError } from '../core/errors.ts'
import type { Given } from './levels.ts'
import { Secret } from './secret.ts'
import type { TlsSettings } from './settings.ts'
import { isPem } from './value.ts'

/** What was given for TLS, by the last part of the option's path. */
export interface TlsGiven {
  readonly ca: Given | undefined
  readonly cert: Given | undefined
  readonly key: Given | undefined
  readonly servername: Given | undefined
  readonly alpn: Given | undefined
}

/** Reads and checks the files. Codes: `ERR_CONFIG_TLS`, `ERR_CONFIG_INCOMPLETE`. */
export function readTls(given: TlsGiven): TlsSettings {
  requirePair(given)
  const ca = pemOf('broker.tls.ca', given.ca, checkCertificate)
  const cert = pemOf('broker.tls.cert', given.cert, checkCertificate)
  const key = pemOf('broker.tls.key', given.key, (text) => void createPrivateKey(text))
  if (cert !== undefined && key !== undefined) requireMatch(cert, key, given)
  return {
    ca,
    cert,
    key: key === undefined ? undefined : new Secret(key),
    servername: given.servername === undefined ? undefined : String(given.servername.value),
    alpn: Array.isArray(given.alpn?.value) ? given.alpn.value : undefined,
    files: { ca: placeOf(given.ca), cert: placeOf(given.cert), key: placeOf(given.key) },
  }
}

function placeOf(given: Given | undefined): string | undefined {
  if (given === undefined) return undefined
  return isPem(String(given.value)) ? 'the PEM text itself' : String(given.value)
}

function requirePair({ cert, key }: TlsGiven): void {
  if ((cert === undefined) === (key === undefined)) return
  const [has, source, lacks] =
    cert === undefined
      ? ['broker.tls.key', key?.source, 'broker.tls.cert, --cert or TLS_CERT']
      : ['broker.tls.cert', cert.source, 'broker.tls.key, --key or TLS_KEY']
  const message = `${has} (${source}) was given without its partner. Give the other one as ${lacks}.`
  throw new MqttasgiError('ERR_CONFIG_INCOMPLETE', message)
}

function requireMatch(cert: string, key: string, given: TlsGiven): void {
  if (new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) return
  const where = `broker.tls.key (${given.key?.source}) is not the key of broker.tls.cert (${given.cert?.source})`
  throw new MqttasgiError('ERR_CONFIG_TLS', `${where}. Give the two that were made together.`)
}

function pemOf(path: string, given: Given | undefined, check: (text: string) => void): string | undefined {
  if (given === undefined) return undefined
  const value = String(given.value)
  const inline = isPem(value)
  const text = inline ? value : readPem(path, value, given.source)
  try {
    check(text)
  } catch (error) {
    const where = `${path} (${given.source}): ${inline ? 'the text' : value} is not what it should be`
    const mend = /interrupted|passphrase|bad decrypt/i.test(toError(error).message)
      ? 'The key is encrypted: decrypt it, as with openssl pkey -in FILE -out FILE.'
      : `Expected ${path.endsWith('key') ? 'a private key' : 'a certificate'} in PEM.`
    throw new MqttasgiError('ERR_CONFIG_TLS', `${where}. ${mend}`, { cause: error })
  }
  return text
}

function readPem(path: string, file: string, source: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    const message = `${path} (${source}): ${file} can not be read: ${reasonOf(error)}.`
    throw new MqttasgiError('ERR_CONFIG_TLS', message, { cause: error })
  }
}

// A CA file may hold many; the first says whether it is such a file at all.
function checkCertificate(text: string): void {
  if (new X509Certificate(text).raw.length === 0) throw new Error('empty')
}

/** Why a file can not be used, in words, with the system's own code. */
export function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const words: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file',
    EACCES: 'this user may not read it',
    EISDIR: 'it is a directory',
    ENOTDIR: 'a part of its path is no directory',
  }
  return code in words ? `${words[code]} (${code})` : toError(error).message
}
