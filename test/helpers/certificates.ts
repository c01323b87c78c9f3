// Certificates for TLS tests. They are fixtures, so that a machine needs no openssl to run the tests.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

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

const folder = join(import.meta.dirname, '../fixtures/certificates')

/** The same ones at each call. */
export async function certificates(): Promise<Certificates> {
  const [ca, otherCa, server, otherHost, client, otherClient] = await Promise.all([
    read('ca'),
    read('other-ca'),
    read('server'),
    read('other-host'),
    read('client'),
    read('other-client'),
  ])
  return { ca, otherCa, server, otherHost, client, otherClient }
}

async function read(name: string): Promise<Certificate> {
  const [certFile, keyFile] = [join(folder, `${name}.crt`), join(folder, `${name}.key`)]
  const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)])
  return { certFile, keyFile, cert, key }
}
