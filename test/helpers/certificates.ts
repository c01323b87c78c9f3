// Certificates for TLS tests, made with openssl in a temporary folder once per process.
import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** One PEM certificate with its key: as files, and what is in them. */
export interface Certificate {
  readonly certFile: string
  readonly keyFile: string
  readonly cert: Buffer
  readonly key: Buffer
}

export interface Certificates {
  readonly ca: Certificate
  /** By `ca`, for localhost, 127.0.0.1 and ::1. */
  readonly server: Certificate
  /** By `ca`, for another.example only. */
  readonly otherHost: Certificate
  /** By `ca`, for a client with the common name `client`. */
  readonly client: Certificate
  /** Has signed nothing of the above. */
  readonly otherCa: Certificate
  /** By `otherCa`, with the common name `stranger`. */
  readonly otherClient: Certificate
}

let made: Promise<Certificates> | undefined

/** The same ones at each call; they are gone with the process. */
export function certificates(): Promise<Certificates> {
  made ??= make()
  return made
}

async function make(): Promise<Certificates> {
  const folder = await mkdtemp(join(tmpdir(), 'mqttasgi-certificates-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const [ca, otherCa] = await Promise.all([authority(folder, 'ca'), authority(folder, 'other-ca')])
  const sign = (
    by: Certificate,
    name: string,
    commonName: string,
    extensions: string,
  ): Promise<Certificate> => signed(folder, { by, name, commonName, extensions })
  const [server, otherHost, client, otherClient] = await Promise.all([
    sign(
      ca,
      'server',
      'localhost',
      'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\nextendedKeyUsage=serverAuth',
    ),
    sign(
      ca,
      'other-host',
      'another.example',
      'subjectAltName=DNS:another.example\nextendedKeyUsage=serverAuth',
    ),
    sign(ca, 'client', 'client', 'extendedKeyUsage=clientAuth'),
    sign(otherCa, 'other-client', 'stranger', 'extendedKeyUsage=clientAuth'),
  ])
  return { ca, otherCa, server, otherHost, client, otherClient }
}

// Elliptic curve keys, because RSA keys take a second each to make.
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

async function authority(folder: string, name: string): Promise<Certificate> {
  const [certFile, keyFile] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)]
  await openssl([
    'req',
    '-x509',
    ...newKey,
    '-days',
    '30',
    '-subj',
    `/CN=${name}`,
    '-keyout',
    keyFile,
    '-out',
    certFile,
  ])
  return await read(certFile, keyFile)
}

interface Request {
  readonly by: Certificate
  readonly name: string
  readonly commonName: string
  readonly extensions: string
}

async function signed(folder: string, { by, name, commonName, extensions }: Request): Promise<Certificate> {
  const file = (ending: string): string => join(folder, `${name}.${ending}`)
  await writeFile(file('ext'), `${extensions}\n`)
  await openssl(['req', ...newKey, '-subj', `/CN=${commonName}`, '-keyout', file('key'), '-out', file('csr')])
  const authorityFiles = ['-CA', by.certFile, '-CAkey', by.keyFile]
  // A serial of its own: openssl's serial file would be shared by those that run at the same time.
  const serial = ['-set_serial', `0x${Buffer.from(name).toString('hex')}`]
  const output = ['-days', '30', '-extfile', file('ext'), '-out', file('crt')]
  await openssl(['x509', '-req', '-in', file('csr'), ...authorityFiles, ...serial, ...output])
  return await read(file('crt'), file('key'))
}

async function read(certFile: string, keyFile: string): Promise<Certificate> {
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)])
  return { certFile, keyFile, cert, key }
}

async function openssl(options: readonly string[]): Promise<void> {
  try {
    await promisify(execFile)('openssl', options)
  } catch (error) {
    throw new Error(`openssl ${options[0] ?? ''} failed; is it installed (apt-get install openssl)?`, {
      cause: error,
    })
  }
}
