import test from 'ava'
import * as fc from 'fast-check'
import { defaultPort, redactUrl, splitBrokerUrl } from '../../lib/config/broker-url.ts'

const split = (text: string) => splitBrokerUrl(text, 'broker.url (test)')

const accepted = test.macro<[string, Record<string, unknown>]>({
  exec(t, text: string, parts: Record<string, unknown>) {
    t.deepEqual({ ...split(text) }, parts)
  },
  title: (_, text) => `${text} is split into its parts`,
})
const tcp = { scheme: 'mqtt', transport: 'tcp', tls: false }
const wss = { scheme: 'wss', transport: 'websockets', tls: true }

test(accepted, 'mqtt://localhost', { ...tcp, host: 'localhost' })
test(accepted, 'MQTT://example.org:1884/', { ...tcp, host: 'example.org', port: 1884 })
test(accepted, 'mqtt://127.0.0.1:1883', { ...tcp, host: '127.0.0.1', port: 1883 })
test(accepted, 'mqtt://[::1]:1883', { ...tcp, host: '::1', port: 1883 })
test(accepted, 'tcp://localhost', { ...tcp, scheme: 'tcp', host: 'localhost' })
test(accepted, 'ssl://localhost', { ...tcp, scheme: 'ssl', tls: true, host: 'localhost' })
test(accepted, 'tls://localhost', { ...tcp, scheme: 'tls', tls: true, host: 'localhost' })
test(accepted, 'mqtts://u:p%40%2F%23@h', {
  ...tcp,
  scheme: 'mqtts',
  tls: true,
  host: 'h',
  username: 'u',
  password: 'p@/#',
})
test(accepted, 'mqtt://only-a-user@h', { ...tcp, host: 'h', username: 'only-a-user' })
test(accepted, 'ws://h:80', { ...wss, scheme: 'ws', tls: false, host: 'h', port: 80 })
test(accepted, 'wss://h:443/a/b?sign=1', { ...wss, host: 'h', port: 443, wsPath: '/a/b?sign=1' })
test(accepted, 'unix:///run/a%20b.sock', {
  scheme: 'unix',
  transport: 'unix',
  tls: false,
  socketPath: '/run/a b.sock',
})

const refused = test.macro<[string, RegExp]>({
  exec(t, text: string, mend: RegExp) {
    const error = t.throws(() => split(text), { code: 'ERR_CONFIG_VALUE' })
    t.regex(error.message, mend)
    t.regex(error.message, /^broker\.url \(test\): expected a URL such as mqtt:\/\/localhost:1883, got "/)
    t.notRegex(error.message, /canary/)
  },
  title: (_, text) => `${text} is refused with what mends it`,
})
test(refused, 'localhost:1883', /Begin it with mqtt:\/\//)
test(refused, '', /Begin it with/)
test(refused, 'http://h', /http:\/\/ is no scheme of MQTT: use mqtt:/)
test(refused, 'constructor://h', /is no scheme/)
test(refused, 'mqtt://', /host is missing/)
test(refused, 'mqtt://a%20b', /characters a host can not have/)
test(refused, 'mqtt://h:0', /Port 0/)
test(refused, 'mqtt://h:70000', /A port is 1 to 65535/)
test(refused, 'mqtt://h/topic', /only ws:\/\/ and wss:\/\/ have one/)
test(refused, 'mqtt://h#', /written with %/)
test(refused, 'mqtt://user:canary%zz@h', /% in user name and password is written %25/)
test(refused, 'mqtt://user:can/canary@h', /as %40 for @/)
test(refused, 'mqtt://user:1/canary@h', /as %40 for @/)
test(refused, 'ws://user:1/canary@h', /as %40 for @/)
test(refused, 'ws://user:1?canary@h', /as %40 for @/)
test(refused, 'ws://user:1#canary@h', /as %40 for @/)
test(refused, 'unix://host/path', /unix:\/\/\/path\/to\/socket/)
test(refused, 'unix:///', /unix:\/\/\/path\/to\/socket/)
test(refused, 'unix:///a%zz', /unix:\/\/\/path\/to\/socket/)

test('the port follows the scheme', (t) => {
  t.deepEqual(
    [
      defaultPort('tcp', false),
      defaultPort('tcp', true),
      defaultPort('websockets', false),
      defaultPort('websockets', true),
    ],
    [1883, 8883, 80, 443],
  )
})

test('whatever stands before an @ or behind a ? of a URL is never shown', (t) => {
  const secret = 'CANARY'
  const noise = fc.string({ unit: fc.constantFrom(':', '/', '@', '%', '#', '?', 'a', '1', ' ', '\n', '[') })
  const property = fc.property(noise, noise, noise, (before, between, after) => {
    t.false(redactUrl(`mqtt://${before}${secret}${between}@${after.replaceAll(secret, '')}`).includes(secret))
    t.false(redactUrl(`${before}://h/?${between}${secret}${after}`).includes(secret))
  })
  fc.assert(property, { numRuns: 2_000 })
  t.is(redactUrl('mqtt://user:secret@h:1883'), 'mqtt://[redacted]@h:1883')
  t.is(redactUrl('wss://h/mqtt?signature=secret'), 'wss://h/mqtt?[redacted]')
  t.is(redactUrl('mqtt://h:1883'), 'mqtt://h:1883')
})

test('what can be split agrees with what was put together', (t) => {
  const text = fc.string({ minLength: 1 })
  const property = fc.property(
    text,
    text,
    fc.integer({ min: 1, max: 65_535 }),
    (username, password, port) => {
      const url = `mqtts://${encodeURIComponent(username)}:${encodeURIComponent(password)}@example.org:${port}`
      const parts = split(url)
      t.deepEqual(
        [parts.username, parts.password, parts.host, parts.port],
        [username, password, 'example.org', port],
      )
    },
  )
  fc.assert(property, { numRuns: 500 })
})
