import test from 'ava'
import {
  dismissal,
  ending,
  failureOf,
  gibberish,
  greetingFault,
  keepaliveLost,
  refusal,
  silence,
  type Progress,
} from '../../lib/transport/connect-failure.ts'
import { plain, reasonText } from '../../lib/transport/reason-codes.ts'
import { connackRefusals, dismissalOf, dismissals, type Refusal } from '../../lib/transport/refusals.ts'
import type { BrokerAddress } from '../../lib/transport/socket.ts'
import type { ConnectionFailure } from '../../lib/transport/transport.ts'

const tcp: BrokerAddress = { type: 'tcp', host: '127.0.0.1', port: 1 }
const tls: BrokerAddress = { type: 'tcp', host: 'localhost', port: 8883, tls: {} }
const websocket: BrokerAddress = {
  type: 'websocket',
  host: 'localhost',
  port: 80,
  path: '/mqtt?token=secret',
}
const unix: BrokerAddress = { type: 'unix', path: '/run/broker' }

function progress(address: BrokerAddress, more: Partial<Progress> = {}): Progress {
  return { address, reached: false, connected: false, ...more }
}

function coded(code: string, more: object = {}): Error {
  return Object.assign(new Error('in other words'), { code, ...more })
}

const refusals = test.macro({
  exec: (t, code: number, type: ConnectionFailure['type'], part: RegExp) => {
    const failure = refusal(tcp, code)
    t.is(failure.type, type)
    t.is(failure.reasonCode, code)
    t.regex(failure.message, part)
    t.regex(failure.message, /^The broker at mqtt:\/\/127\.0\.0\.1:1 refused the connection \(.+\)/)
  },
  title: (_, code: number, type: string) => `CONNACK with code ${code} is a failure of the type ${type}`,
})

test(refusals, 1, 'version', /0x01, protocol version not accepted.*another protocol version/)
test(refusals, 2, 'refused', /another client id/)
test(refusals, 3, 'refused', /later/)
test(refusals, 4, 'credentials', /bad user name or password/)
test(refusals, 5, 'credentials', /not authorized/)
test(refusals, 0x80, 'refused', /unspecified error\)\.$/)
test(refusals, 0x84, 'version', /protocol version not supported/)
test(refusals, 0x85, 'refused', /another client id/)
test(refusals, 0x86, 'credentials', /user name and password/)
test(refusals, 0x87, 'credentials', /not authorized/)
test(refusals, 0x88, 'refused', /later/)
test(refusals, 0x89, 'refused', /server busy/)
test(refusals, 0x8a, 'refused', /banned/)
test(refusals, 0x8c, 'credentials', /bad authentication method/)
test(refusals, 0x9c, 'refused', /use another server.*later/)
test(refusals, 0x9d, 'refused', /server moved/)
test(refusals, 0x9f, 'refused', /connection rate exceeded.*later/)
test(refusals, 0xfe, 'refused', /\(0xfe\)\.$/)

test('every code of CONNACK and DISCONNECT has its class, and a meaning', (t) => {
  const codes = (of: ReadonlyMap<number, Refusal>, kind: string): number[] =>
    [...of].flatMap(([code, refusal]) => (refusal.class === kind ? code : []))
  t.deepEqual(codes(connackRefusals, 'version'), [0x01, 0x84])
  t.deepEqual(codes(connackRefusals, 'credentials'), [0x04, 0x05, 0x86, 0x87])
  t.deepEqual(codes(connackRefusals, 'passing'), [0x03, 0x80, 0x83, 0x88, 0x89, 0x97, 0x9c, 0x9f])
  t.deepEqual(
    codes(connackRefusals, 'final'),
    [0x02, 0x81, 0x82, 0x85, 0x8a, 0x8c, 0x90, 0x95, 0x99, 0x9a, 0x9b, 0x9d],
  )
  t.deepEqual(codes(dismissals, 'takeover'), [0x8e])
  t.deepEqual(codes(dismissals, 'final'), [0x9d])
  for (const [code, { mend, reason }] of [...connackRefusals, ...dismissals]) {
    t.regex(mend, /^(\.|: .+\.)$/)
    t.notRegex(reason, /\.$/)
    if (code > 0) t.regex(reasonText(code), /^0x.., ./)
  }
  t.is(dismissalOf(0xfe).class, 'passing')
})

test('another server that the broker names is told', (t) => {
  const said = { reason: 'moved', serverReference: 'other.example:1883\r' }
  t.is(
    refusal(tcp, 0x9d, said).message,
    'The broker at mqtt://127.0.0.1:1 refused the connection (0x9d, server moved) "moved", and names another server (other.example:1883 ): connect there.',
  )
  t.regex(dismissal(tcp, 0x9c, { clientId: 'hall', ...said }).message, /names another server \(other/)
})

test('a reason string of the broker is shown in one line, without control characters and not at length', (t) => {
  const { message } = refusal(tcp, 0x80, { reason: `go\r\n\u001b[31maway\u202e${'!'.repeat(500)}` })
  t.regex(message, /"go {3}\[31maway !+…"/)
  t.true(message.length < 300)
  t.notRegex(refusal(tcp, 0x80, { reason: '' }).message, /"/)
})

const errors = test.macro({
  exec: (
    t,
    code: string,
    address: BrokerAddress,
    type: ConnectionFailure['type'],
    part: RegExp,
    more: Partial<Progress> = {},
  ) => {
    const cause = coded(code)
    const failure = failureOf(cause, progress(address, more))
    t.is(failure.type, type)
    t.regex(failure.message, part)
    t.is(failure.cause, cause)
    t.false(failure.message.includes('\n'))
  },
  title: (given = '', code: string) => `${code} ${given}says what happened and what mends it`,
})

test(
  errors,
  'ECONNREFUSED',
  tcp,
  'network',
  /^The broker at mqtt:\/\/127\.0\.0\.1:1 refused the connection \(ECONNREFUSED\): is it running, and is the port right\?$/,
)
test(errors, 'ENOTFOUND', tls, 'network', /host of mqtts:\/\/localhost:8883 is not known.*DNS/)
test(errors, 'EAI_AGAIN', tls, 'network', /not known/)
test(errors, 'ETIMEDOUT', tcp, 'network', /can not be reached.*firewall/)
test(errors, 'EHOSTUNREACH', tcp, 'network', /can not be reached/)
test(errors, 'ENETUNREACH', tcp, 'network', /can not be reached/)
test(errors, 'ENOENT', unix, 'network', /unix socket of unix:\/\/\/run\/broker/)
test(errors, 'EACCES', unix, 'network', /may we use it/)
test(errors, 'ECONNRESET', tcp, 'network', /before it answered \(ECONNRESET\)\.$/)
test('from a port that was reached ', errors, 'ECONNRESET', tls, 'network', /MQTT over TLS/, {
  reached: true,
})
test('when connected ', errors, 'ECONNRESET', tls, 'network', /was broken off/, { connected: true })
test('when connected ', errors, 'EPIPE', tcp, 'network', /was broken off/, { connected: true })
test(errors, 'SELF_SIGNED_CERT_IN_CHAIN', tls, 'tls', /not trusted here.*as the CA/)
test(errors, 'DEPTH_ZERO_SELF_SIGNED_CERT', tls, 'tls', /not trusted here/)
test(errors, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', tls, 'tls', /not trusted here/)
test(errors, 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', tls, 'tls', /not trusted here/)
test(errors, 'CERT_HAS_EXPIRED', tls, 'tls', /not valid today.*clock/)
test(errors, 'CERT_NOT_YET_VALID', tls, 'tls', /not valid today/)
test(errors, 'INVALID_PURPOSE', tls, 'tls', /can not be accepted/)
test(errors, 'ERR_SSL_WRONG_VERSION_NUMBER', tls, 'tls', /does not answer in TLS.*mqtt:\/\/ is without/)
test(errors, 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', tls, 'tls', /client certificate/)
test(errors, 'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', tls, 'tls', /client certificate that it trusts/)
test(errors, 'ERR_SSL_NO_CIPHER_MATCH', tls, 'tls', /handshake with mqtts:\/\/localhost:8883 failed/)
test(errors, 'EPROTO', tls, 'tls', /handshake/)
test(errors, 'ERR_OSSL_PEM_NO_START_LINE', tls, 'tls', /are they PEM/)
test(errors, 'ESOMETHING', tcp, 'network', /failed \(ESOMETHING\)\.$/)

test('a certificate for another name is told with the names it is for', (t) => {
  const cause = coded('ERR_TLS_CERT_ALTNAME_INVALID', { cert: { subjectaltname: 'DNS:another.example' } })
  const failure = failureOf(cause, progress(tls))
  t.is(failure.type, 'tls')
  t.is(
    failure.message,
    'The broker at mqtts://localhost:8883 shows a certificate for another name (DNS:another.example): connect by the name in the certificate, or get one for "localhost".',
  )
  const named = { ...tls, tls: { servername: 'wanted.example' } }
  t.regex(
    failureOf(coded('ERR_TLS_CERT_ALTNAME_INVALID'), progress(named)).message,
    /names none.*"wanted\.example"/,
  )
})

test('EPROTO of older versions of Node.js is told by its message', (t) => {
  const wrong = Object.assign(new Error('write EPROTO 8:error:0A00010B:SSL routines::wrong version number'), {
    code: 'EPROTO',
  })
  t.regex(failureOf(wrong, progress(tls)).message, /does not answer in TLS \(EPROTO\)/)
  const alert = Object.assign(new Error('SSL routines::tlsv13 alert certificate required'), {
    code: 'EPROTO',
  })
  t.regex(failureOf(alert, progress(tls)).message, /client certificate/)
})

test('an error without a code is told in its own words', (t) => {
  t.regex(failureOf(new Error('no\nidea'), progress(tcp)).message, /failed \(no idea\)\.$/)
  t.regex(failureOf('thrown', progress(tcp)).message, /failed \(unknown error\)\.$/)
})

test('a websocket that is not opened is told with the status, and no token of its address', (t) => {
  const missing = failureOf(new Error('Unexpected server response: 404'), progress(websocket))
  t.is(missing.type, 'network')
  t.regex(missing.message, /ws:\/\/localhost:80\/mqtt did not open a websocket \(HTTP 404\).*path/)
  t.is(failureOf(new Error('Unexpected server response: 401'), progress(websocket)).type, 'credentials')
  t.regex(failureOf(new Error('socket hang up'), progress(websocket)).message, /did not open.*socket hang up/)
  for (const { message } of [missing, ending(progress(websocket)), silence(progress(websocket), 1)]) {
    t.notRegex(message, /secret/)
  }
})

test('silence says whether anything was reached at all', (t) => {
  t.regex(silence(progress(tcp), 10_000).message, /could not be reached within 10 s/)
  const reached = silence(progress(tcp, { reached: true }), 1500)
  t.is(reached.type, 'timeout')
  t.regex(reached.message, /was reached, but did not answer within 1\.5 s/)
})

test('an end without a word is of the type closed', (t) => {
  t.deepEqual(ending(progress(tcp, { connected: true })), {
    type: 'closed',
    message: 'The broker at mqtt://127.0.0.1:1 closed the connection.',
  })
  t.regex(ending(progress(unix)).message, /without an answer.*socket of an MQTT broker/)
})

test('DISCONNECT with 0x8e is a takeover and names the client id', (t) => {
  const failure = dismissal(tcp, 0x8e, { clientId: 'hall' })
  t.is(failure.type, 'takeover')
  t.regex(failure.message, /as "hall" and took the session over/)
  const busy = dismissal(tcp, 0x89, { clientId: 'hall', reason: 'come back' })
  t.like(busy, { type: 'closed', reasonCode: 0x89 })
  t.regex(busy.message, /ended the connection \(0x89, server busy\) "come back"\.$/)
  t.is(dismissal(tcp, 0x8d, { clientId: 'hall' }).type, 'timeout')
})

test('a missing PINGRESP is a timeout', (t) => {
  t.like(keepaliveLost(tcp, 60), { type: 'timeout' })
  t.regex(keepaliveLost(tcp, 60).message, /silent for 90 s/)
})

test('bytes that are not MQTT are told with a guess at what they are', (t) => {
  t.is(greetingFault(Buffer.from('HTTP/1.1 400 Bad Request')), 'it answers in HTTP')
  t.is(greetingFault(Buffer.from([0x15, 0x03, 0x01, 0, 2, 2, 70])), 'it speaks TLS')
  t.is(greetingFault(Buffer.from([0x16, 0x03, 0x03])), 'it speaks TLS')
  t.is(greetingFault(Buffer.from([0x30, 0x03])), "its first byte is 0x30, not CONNACK's")
  t.is(greetingFault(Buffer.from([0x20])), undefined)
  t.is(greetingFault(Buffer.from([0xf0])), undefined)
  t.regex(
    gibberish(progress(tcp), 'it speaks TLS').message,
    /is not MQTT \(it speaks TLS\): is this the port/,
  )
  const cause = new Error('x')
  const later = gibberish(progress(tcp, { connected: true }), 'Invalid header.', cause)
  t.is(later.message, 'What mqtt://127.0.0.1:1 sent is not MQTT (Invalid header).')
  t.is(later.cause, cause)
})

test('a reason code has its number and its meaning', (t) => {
  t.is(reasonText(0x87), '0x87, not authorized')
  t.is(reasonText(0x07), '0x07')
  t.is(plain('a\tb\u2028c'), 'a b c')
})
