// Says why a connection could not be made or ended: the failure's type for the policy, one line for people.
import { quote } from '../core/topic.ts'
import { plain, reasonText } from './reason-codes.ts'
import { connackRefusal, dismissalOf } from './refusals.ts'
import { addressText, type BrokerAddress } from './socket.ts'
import type { ConnectionFailure } from './transport.ts'

/** How far an attempt has come, as far as it changes what is the likely mend. */
export interface Progress {
  readonly address: BrokerAddress
  /** Bytes could flow. */
  readonly reached: boolean
  /** CONNACK said yes. */
  readonly connected: boolean
}

const KEEPALIVE_TIMEOUT = 0x8d
const BAD_AUTHENTICATION_METHOD = 0x8c

/** What a broker says beside its code. */
export interface Said {
  /** Reason String. */
  readonly reason?: string | undefined
  /** Server Reference (4.11): where else to go. */
  readonly serverReference?: string | undefined
}

function broker(address: BrokerAddress): string {
  return `The broker at ${addressText(address)}`
}

/** CONNACK said no. */
export function refusal(address: BrokerAddress, code: number, said: Said = {}): ConnectionFailure {
  const { class: kind, mend } = connackRefusal(code)
  const type = kind === 'version' ? 'version' : isAboutCredentials(code) ? 'credentials' : 'refused'
  const line = `refused the connection (${reasonText(code)})`
  return { type, reasonCode: code, message: `${broker(address)} ${line}${words(said)}${mend}` }
}

/** DISCONNECT of MQTT 5 from the broker (3.14.2.1). */
export function dismissal(
  address: BrokerAddress,
  code: number,
  { clientId, ...said }: Said & { readonly clientId: string },
): ConnectionFailure {
  const { class: kind, mend } = dismissalOf(code)
  if (kind === 'takeover') {
    const message = `Another client connected to ${addressText(address)} as ${quote(clientId)} and took the session over (0x8e): give each instance a client id of its own.`
    return { type: 'takeover', message, reasonCode: code }
  }
  const type = code === KEEPALIVE_TIMEOUT ? 'timeout' : 'closed'
  const message = `${broker(address)} ended the connection (${reasonText(code)})${words(said)}${mend}`
  return { type, message, reasonCode: code }
}

// Whatever is final in it: what people look at first is what they have given as user and password.
function isAboutCredentials(code: number): boolean {
  return connackRefusal(code).class === 'credentials' || code === BAD_AUTHENTICATION_METHOD
}

function words({ reason = '', serverReference = '' }: Said): string {
  const said = reason === '' ? '' : ` "${plain(reason)}"`
  return serverReference === '' ? said : `${said}, and names another server (${plain(serverReference)})`
}

/** Neither a connection nor CONNACK within the limit. */
export function silence(progress: Progress, limitMs: number): ConnectionFailure {
  const limit = `within ${limitMs / 1000} s`
  const message = progress.reached
    ? `${broker(progress.address)} was reached, but did not answer ${limit}: is ${portText(progress.address)}?`
    : `${broker(progress.address)} could not be reached ${limit}: is the address right, and does a firewall let us through?`
  return { type: 'timeout', message }
}

/** No PINGRESP within one and a half times the keepalive. */
export function keepaliveLost(address: BrokerAddress, keepaliveSeconds: number): ConnectionFailure {
  const message = `${broker(address)} has been silent for ${keepaliveSeconds * 1.5} s (keepalive ${keepaliveSeconds} s): it stands still, or the network lost the connection.`
  return { type: 'timeout', message }
}

/** The other side ended the connection, and gave no reason. */
export function ending(progress: Progress): ConnectionFailure {
  const message = progress.connected
    ? `${broker(progress.address)} closed the connection.`
    : `${broker(progress.address)} closed the connection without an answer: is ${portText(progress.address)}?`
  return { type: 'closed', message }
}

/** We ended it ourselves, or never began. */
export function closedByUs(address: BrokerAddress): ConnectionFailure {
  return { type: 'closed', message: `The connection to ${addressText(address)} was closed by us.` }
}

/** Bytes that are not MQTT. */
export function gibberish(progress: Progress, fault: string, cause?: unknown): ConnectionFailure {
  const hint = progress.connected ? '' : `: is ${portText(progress.address)}?`
  const message = `What ${addressText(progress.address)} sent is not MQTT (${plain(fault).replace(/\.$/, '')})${hint === '' ? '.' : hint}`
  return cause === undefined ? { type: 'protocol', message } : { type: 'protocol', message, cause }
}

/** What a server that speaks something else begins with, by its first bytes; undefined for CONNACK and AUTH. */
export function greetingFault(bytes: Buffer): string | undefined {
  const first = bytes[0] ?? 0
  if (first === 0x20 || first === 0xf0) return undefined
  if (bytes.subarray(0, 5).toString('latin1') === 'HTTP/') return 'it answers in HTTP'
  // A TLS record: alert or handshake, version 3.x (RFC 8446, 5.1).
  if ((first === 0x15 || first === 0x16) && bytes[1] === 0x03) return 'it speaks TLS'
  return `its first byte is 0x${first.toString(16).padStart(2, '0')}, not CONNACK's`
}

function portText(address: BrokerAddress): string {
  if (address.type === 'unix') return 'it the socket of an MQTT broker'
  if (address.type === 'websocket') return 'this the path for MQTT over websockets'
  return address.tls === undefined
    ? 'this the port for MQTT without TLS (mqtts:// is with)'
    : 'this the port for MQTT over TLS (mqtt:// is without)'
}

/** An error of the socket, of TLS or of the websocket's handshake. */
export function failureOf(error: unknown, progress: Progress): ConnectionFailure {
  const code = codeOf(error)
  const { type, line } =
    tlsFailure(code, error, progress.address) ??
    networkFailure(code, progress) ??
    otherFailure(code, error, progress)
  return { type, message: line, cause: error }
}

interface Verdict {
  readonly type: ConnectionFailure['type']
  readonly line: string
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : ''
}

function networkFailure(code: string, progress: Progress): Verdict | undefined {
  const { address, connected, reached } = progress
  const of = (line: string): Verdict => ({ type: 'network', line })
  switch (code) {
    case 'ECONNREFUSED':
      return of(`${broker(address)} refused the connection (${code}): is it running, and is the port right?`)
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return of(
        `The host of ${addressText(address)} is not known (${code}): is the name right, and does DNS work here?`,
      )
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return of(
        `${broker(address)} can not be reached (${code}): is the address right, and does a firewall let us through?`,
      )
    case 'ENOENT':
    case 'EACCES':
      return of(
        `The unix socket of ${addressText(address)} can not be opened (${code}): is the broker running, is the path right, and may we use it?`,
      )
    case 'ECONNRESET':
    case 'EPIPE':
      if (connected) return of(`The connection to ${addressText(address)} was broken off (${code}).`)
      return of(
        `${broker(address)} broke the connection off before it answered (${code})${reached ? `: is ${portText(address)}?` : '.'}`,
      )
    default:
      return undefined
  }
}

const untrusted = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_UNTRUSTED',
])
const unfit = new Set([
  'CERT_CHAIN_TOO_LONG',
  'CERT_REJECTED',
  'CERT_REVOKED',
  'CERT_SIGNATURE_FAILURE',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'PATH_LENGTH_EXCEEDED',
])

function tlsFailure(code: string, error: unknown, address: BrokerAddress): Verdict | undefined {
  const of = (line: string): Verdict => ({ type: 'tls', line })
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return of(wrongName(error, address))
  if (untrusted.has(code)) {
    return of(
      `${broker(address)} shows a certificate of an authority that is not trusted here (${code}): give the certificate of its authority as the CA.`,
    )
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return of(
      `${broker(address)} shows a certificate that is not valid today (${code}): renew it, or set this machine's clock.`,
    )
  }
  if (unfit.has(code)) {
    return of(
      `${broker(address)} shows a certificate that can not be accepted (${code}): get another for it.`,
    )
  }
  // Our own files: PEM that can not be read, or a key that belongs to another certificate.
  if (code.startsWith('ERR_OSSL_')) {
    return of(
      `The certificate, key or CA for ${addressText(address)} can not be used (${code}): are they PEM, and do they belong together?`,
    )
  }
  return handshakeFailure(code, error, address)
}

function handshakeFailure(code: string, error: unknown, address: BrokerAddress): Verdict | undefined {
  if (!/^(ERR_SSL_|ERR_TLS_|EPROTO$)/.test(code)) return undefined
  const of = (line: string): Verdict => ({ type: 'tls', line })
  // Older versions of Node.js say only EPROTO, and the rest in the message.
  const text = code === 'EPROTO' ? String(error).replaceAll(' ', '_').toUpperCase() : code
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNKNOWN_PROTOCOL/.test(text)) {
    return of(`${broker(address)} does not answer in TLS (${code}): is ${portText(address)}?`)
  }
  if (/ALERT_(CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA|NO_CERTIFICATE)/.test(text)) {
    return of(
      `${broker(address)} wants a client certificate that it trusts (${code}): give one, with its key.`,
    )
  }
  return of(`The TLS handshake with ${addressText(address)} failed (${code}).`)
}

function wrongName(error: unknown, address: BrokerAddress): string {
  const certificate = error instanceof Error && 'cert' in error ? error.cert : undefined
  const names =
    typeof certificate === 'object' && certificate !== null && 'subjectaltname' in certificate
      ? plain(String(certificate.subjectaltname))
      : 'it names none'
  const host = address.type === 'unix' ? '' : (address.tls?.servername ?? address.host)
  return `${broker(address)} shows a certificate for another name (${names}): connect by the name in the certificate, or get one for "${plain(host)}".`
}

function otherFailure(code: string, error: unknown, progress: Progress): Verdict {
  const { address, connected } = progress
  const text = error instanceof Error ? plain(error.message) : 'unknown error'
  // ws has no code for a handshake that was answered, but not with 101.
  const status = /^Unexpected server response: (\d{3})$/.exec(text)?.[1]
  if (status === '401' || status === '403') {
    return {
      type: 'credentials',
      line: `${broker(address)} refused the websocket (HTTP ${status}): it wants other rights.`,
    }
  }
  if (status !== undefined || (!connected && address.type === 'websocket')) {
    const answer = status === undefined ? text : `HTTP ${status}`
    return {
      type: 'network',
      line: `${broker(address)} did not open a websocket (${answer}): is ${portText(address)}?`,
    }
  }
  return {
    type: 'network',
    line: `The connection to ${addressText(address)} failed (${code === '' ? text : code}).`,
  }
}
