// mqttasgi plan: what the broker would be told, with its reasons.
import test from 'ava'
import type { PlanReport } from '../../lib/cli/plan-report.ts'
import { runHere } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const files = {
  'app.ts': `
    import { mqttasgi } from 'mqttasgi'
    export const app = mqttasgi()
    app.topic('a/+x', () => {})
    app.topic('+y/b', { qos: 0 }, () => {})
    app.topic('c/#', { noLocal: true }, () => {})
    app.topic('c/d', { noLocal: true, qos: 2 }, () => {})
  `,
  'shared.ts': `
    import { mqttasgi } from 'mqttasgi'
    export const app = mqttasgi().topic('$share/g/a/+', () => {}).topic('+/b', () => {})
  `,
  'wide.ts': `
    import { mqttasgi } from 'mqttasgi'
    export const app = mqttasgi().topic('a/#', () => {}).topic('+/b', () => {})
  `,
  'none.ts': `import { mqttasgi } from 'mqttasgi'\nexport const app = mqttasgi()`,
  'mqttasgi.config.ts': `export default { application: './app.ts', workers: [{ id: 'climate', mount: 'a', application: './none.ts' }] }`,
}

test('plan says for each filter what it is for and why, on MQTT 5 and on 3.1.1', async (t) => {
  const command = runHere(['plan'], { cwd: temporaryFolder(t, files) })
  t.is(await command.ended, 0)
  const [five = '', four = ''] = command.stdout().split(/\n(?=MQTT 3\.1\.1)/)
  t.is(
    five,
    `MQTT 5, with Subscription Identifiers
   a/+  qos 1, identifier 26084175
      for a/+x
   +/b  qos 1, identifier 21481574
      for +y/b
      QoS 1 instead of 0, because "c/#" overlaps with it and a broker may send one copy for both
   c/#  qos 1, noLocal, identifier 2883331
      for c/#
      for c/d
      covers "c/d", so that is not subscribed by itself
      QoS 1 instead of 2: the same messages, with fewer packets
   overlaps
      a/+ and +/b, as on a/b: copies are told apart by their identifiers: the chain runs once
      +/b and c/#, as on c/b: copies are told apart by their identifiers: the chain runs once
`,
  )
  t.regex(
    four,
    /a\/\+ and \+\/b, as on a\/b: a broker may send a copy for each, and each copy runs; overlap: 'superset'/,
  )
  t.regex(four, /has no noLocal, retainHandling and retainAsPublished: they have no effect/)
  t.notRegex(four, /identifier \d|, noLocal/)
})

async function reportsOf(cwd: string, ...argv: string[]): Promise<{ reports: PlanReport[]; code: number }> {
  const command = runHere(['plan', '--json', ...argv], { cwd })
  const code = await command.ended
  const { plans } = JSON.parse(command.stdout()) as { plans: PlanReport[] }
  return { reports: plans, code }
}

test('plan as JSON has the same, with the receivers', async (t) => {
  const cwd = temporaryFolder(t, files)
  const { reports, code } = await reportsOf(cwd, '--protocol-version', '5')
  t.is(code, 0)
  t.is(reports.length, 1)
  t.like(reports[0], { protocolVersion: 5, fault: null, moreOverlaps: false })
  t.like(reports[0]?.subscriptions[1], {
    filter: '+/b',
    qos: 1,
    identifier: 21_481_574,
    surplus: false,
    serves: [{ receiver: 'application', route: '+y/b', filter: '+/b', qos: 0 }],
  })
})

test('a superset is named with its surplus', async (t) => {
  const { reports } = await reportsOf(
    temporaryFolder(t, files),
    '--overlap',
    'superset',
    '--protocol-version',
    '4',
    './app.ts',
  )
  t.true(reports[0]?.fault?.code === 'ERR_OVERLAP_TOO_WIDE')
  const two = { ...files, 'two.ts': files['wide.ts'].replace('a/#', 'a/+') }
  const { reports: wide } = await reportsOf(
    temporaryFolder(t, two),
    '--overlap',
    'superset',
    '--protocol-version',
    '4',
    './two.ts',
  )
  t.like(wide[0]?.subscriptions[0], { filter: '+/+', surplus: true, identifier: null })
  t.regex(wide[0]?.subscriptions[0]?.why.join() ?? '', /least filter that covers "a\/\+", "\+\/b".*surplus/)
})

test('what keeps one version from starting is said, and is the end only where it keeps all', async (t) => {
  const cwd = temporaryFolder(t, files)
  const both = await reportsOf(cwd, './shared.ts')
  t.is(both.code, 0)
  t.is(both.reports[0]?.fault, null)
  t.is(both.reports[1]?.fault?.code, 'ERR_OVERLAP_SHARED')
  t.is((await reportsOf(cwd, './shared.ts', '--protocol-version', '4')).code, 78)
  const accepted = await reportsOf(cwd, './shared.ts', '--protocol-version', '4', '--overlap', 'accept')
  t.is(accepted.code, 0)
  t.regex(accepted.reports[0]?.overlaps[0]?.meaning ?? '', /each delivery runs the routes of both/)
  const command = runHere(['plan', './shared.ts', '--protocol-version', '4'], { cwd })
  t.is(await command.ended, 78)
  t.regex(command.stdout(), /the start would fail: .*\(ERR_OVERLAP_SHARED\)/)
})

test('plan says what to do when there are no routes, and stops counting overlaps', async (t) => {
  const many = `import { mqttasgi } from 'mqttasgi'
    export const app = mqttasgi().topic('+/b', () => {})
    for (let i = 0; i < 120; i++) app.topic(\`\${i}/+\`, () => {})`
  const cwd = temporaryFolder(t, { 'none.ts': files['none.ts'], 'many.ts': many })
  const none = runHere(['plan', './none.ts'], { cwd })
  t.is(await none.ended, 0)
  t.regex(none.stdout(), /nothing is subscribed: app\.topic\(pattern, handler\) adds a route/)
  const all = runHere(['plan', './many.ts'], { cwd })
  t.is(await all.ended, 0)
  t.regex(all.stdout(), /\n {6}and more\n/)
})

test('whatever keeps every version from starting ends with 78', async (t) => {
  const cwd = temporaryFolder(t, {
    'differ.ts': `import { mqttasgi } from 'mqttasgi'
      export const app = mqttasgi().topic('a/b', { noLocal: true }, () => {}).topic('a/b', () => {})`,
  })
  const five = await reportsOf(cwd, './differ.ts', '--protocol-version', '5')
  t.is(five.reports[0]?.fault?.code, 'ERR_SUBSCRIBE_OPTIONS_DIFFER')
  t.is(five.code, 78)
  // MQTT 3.1.1 has no noLocal to differ in.
  t.is((await reportsOf(cwd, './differ.ts')).code, 0)
})

test('plan tells which routes hear what the server itself publishes', async (t) => {
  const config = `export default { application: './app.ts', deadLetter: { store: 'topic', topic: 'c/dead' } }`
  const { reports } = await reportsOf(temporaryFolder(t, { ...files, 'mqttasgi.config.ts': config }))
  const whyOf = (report: PlanReport | undefined): readonly string[] =>
    report?.subscriptions.find(({ filter }) => filter === 'c/#')?.why ?? []
  const [five, four] = reports
  // There noLocal keeps it away.
  t.false(whyOf(five).some((why) => why.includes('dead letter')))
  t.true(whyOf(four).includes('"c/#" also hears each dead letter (deadLetter.topic "c/dead")'))
})
