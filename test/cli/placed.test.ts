// What each receiver subscribes to, as the commands show it before anything runs: workers with a group, and consumers.
import test, { type ExecutionContext } from 'ava'
import { runHere } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const files = {
  'pump.ts': `
    import { mqttasgi } from 'mqttasgi'
    export default mqttasgi().topic('+valve/open', function open() {})
    export const deaf = mqttasgi().topic('x', { noLocal: true }, () => {})
  `,
  'house.cjs': `
    const { MqttConsumer, Router } = require('mqttasgi')
    module.exports = class House extends MqttConsumer {
      static options = { timeoutMs: 50 }
      static routes = Router()
        .use(function log(ctx, next) { return next() })
        .topic('ping/+who', function ping() {})
    }
  `,
  'raw.ts': `export default async function raw(scope, receive, send) {}`,
}
const shared = `{ id: 'one', mount: 'pumps/1', application: './pump.ts', share: 'crew' }`

async function shown(t: ExecutionContext, argv: string[], workers: string, code = 0): Promise<string> {
  const config = `export default { workers: [${workers}] }`
  const command = runHere(argv, { cwd: temporaryFolder(t, { ...files, 'mqttasgi.config.mjs': config }) })
  t.is(await command.ended, code, command.output())
  return command.output()
}

test('plan and routes show the group that all of a worker is shared with', async (t) => {
  t.regex(
    await shown(t, ['plan', '--protocol-version', '5'], shared),
    /^ {3}\$share\/crew\/pumps\/1\/\+\/open {2}qos 1, identifier \d+\n {6}for pumps\/1\/\+valve\/open of worker one$/m,
  )
  const routes = await shown(t, ['routes'], shared)
  t.regex(routes, /^worker one at pumps\/1, shared as crew$/m)
  t.regex(routes, /subscribed at the broker\n {3}\$share\/crew\/pumps\/1\/\+\/open {2}qos 1\n$/)
})

test('a route that can not be in the group of its worker is refused as at the start', async (t) => {
  const worker = `{ id: 'one', application: './pump.ts#deaf', share: 'crew' }`
  for (const argv of [['plan'], ['routes']]) {
    const output = await shown(t, argv, worker, 78)
    t.regex(output, /Route "x" of worker "one": noLocal does not go together with a group.*ERR_WORKER_OPTION/)
    t.notRegex(output, /subscribed at the broker/)
  }
})

const house = `{ id: 'house', mount: 'street/+number', application: './house.cjs' }`
const later = '   a consumer: what else it subscribes to is known once it runs'

test('the static routes of a consumer are listed, subscribed and tried', async (t) => {
  const routes = await shown(t, ['routes'], house)
  t.true(
    routes.includes(
      `worker house at street/+number\n└─ street/+number/ping/+who  qos 1, timeout 50 ms  ping\n${later}\n`,
    ),
    routes,
  )
  t.regex(routes, /subscribed at the broker\n {3}street\/\+\/ping\/\+ {2}qos 1\n$/)
  const plan = await shown(t, ['plan'], house)
  t.regex(plan, /^ {3}street\/\+\/ping\/\+ .*\n {6}for street\/\+number\/ping\/\+who of worker house$/m)
  t.true(plan.includes(`worker house at street/+number\n${later}\n`), plan)
  const match = await shown(t, ['match', 'street/7/ping/me'], house)
  t.regex(match, /1 {2}middleware .* log .*\n {2}2 {2}route .* ping {2}number = "7", who = "me"$/m)
  const none = await shown(t, ['match', 'street/7/other'], house)
  t.regex(none, /1 {2}middleware .* log .*\n {2}no static route matches\n/)
  t.true(match.includes(later) && none.includes(later))
  const elsewhere = await shown(t, ['match', 'garden/7/ping/me'], house)
  t.regex(
    elsewhere,
    /worker house at street\/\+number\n(?: .*\n)* {3}nothing outside of its mount comes to it\n/,
  )
  t.false(elsewhere.includes(later))
})

test('plan as JSON names those of whom not all is known', async (t) => {
  const raw = `{ id: 'raw', application: './raw.ts' }`
  const output = await shown(t, ['plan', '--json'], `${shared}, ${house}, ${raw}`)
  t.deepEqual((JSON.parse(output) as { knownLater: unknown }).knownLater, ['house', 'raw'])
  t.regex(
    await shown(t, ['routes'], raw),
    /worker raw\n {3}a raw application: what it subscribes to is known once it runs/,
  )
})

test('of a consumer or a raw application as the application nobody says that it subscribes to nothing', async (t) => {
  const consumer = `
    import { MqttConsumer } from 'mqttasgi'
    export default class Meter extends MqttConsumer {}
  `
  const what = {
    'meter.ts': ['a consumer', consumer],
    'raw.ts': ['a raw application', files['raw.ts']],
  } as const
  for (const [name, [kind, code]] of Object.entries(what)) {
    const cwd = temporaryFolder(t, { [name]: code })
    const later = `application\n   ${kind}: what it subscribes to is known once it runs\n`
    const plan = runHere(['plan', `./${name}`, '--protocol-version', '5'], { cwd })
    t.is(await plan.ended, 0, plan.output())
    t.is(
      plan.stdout(),
      `MQTT 5, with Subscription Identifiers\n   nothing that is known beforehand\n\n${later}`,
    )
    const routes = runHere(['routes', `./${name}`], { cwd })
    t.is(await routes.ended, 0, routes.output())
    t.is(routes.stdout(), `${later}\nsubscribed at the broker\n   nothing that is known beforehand\n`)
  }
})
