import test from 'ava'
import { parseCommandLine } from '../../lib/cli/program.ts'
import { flagKey } from '../../lib/config/levels.ts'
import { defaultInWords, flagInWords, options } from '../../lib/config/options.ts'

function parse(line: string) {
  const parsed = parseCommandLine(line.split(' '), '1.2.3')
  return 'invocation' in parsed ? parsed.invocation : parsed.text
}

function helpOf(line: string): string {
  const text = parse(line)
  return typeof text === 'string' ? text : ''
}

const nothing = { command: 'run', topic: undefined, application: undefined, flags: {} }

test('without a command the application is run', (t) => {
  t.deepEqual(parse('./app.ts#app'), { ...nothing, application: './app.ts#app' })
  t.deepEqual(parse('-H x ./app.ts'), { ...nothing, application: './app.ts', flags: { host: 'x' } })
  t.deepEqual(parse('./app.ts -H x'), { ...nothing, application: './app.ts', flags: { host: 'x' } })
  t.deepEqual(parse('run -r 0'), { ...nothing, flags: { retries: '0' } })
})

test('commands have their words', (t) => {
  t.deepEqual(parse('dev ./app.ts'), { ...nothing, command: 'dev', application: './app.ts' })
  t.deepEqual(parse('match a/b'), { ...nothing, command: 'match', topic: 'a/b' })
  t.deepEqual(parse('match a/b ./app.ts'), {
    ...nothing,
    command: 'match',
    topic: 'a/b',
    application: './app.ts',
  })
  t.deepEqual(parse('-vv config -SSL false'), {
    ...nothing,
    command: 'config',
    flags: { verbosity: '2', 'use-ssl': 'false' },
  })
})

for (const option of options) {
  test(`${option.flag.long} is read by its names, with the value behind it or joined to it`, (t) => {
    const { flag } = option
    const value = option.type.kind === 'switch' ? 'false' : '2'
    const forms = [`${flag.long} ${value}`, `${flag.long}=${value}`]
    if (flag.short !== undefined) forms.push(`${flag.short} ${value}`)
    for (const form of forms)
      t.deepEqual(parse(form), { ...nothing, flags: { [flagKey(flag)]: value } }, form)
  })

  test(`--help shows ${option.flag.long} with its sentence, default and variable`, (t) => {
    const text = helpOf('--help').replaceAll(/\s+/g, ' ')
    const row = `${flagInWords(option.flag)} ${option.sentence} [${defaultInWords(option)}] [${option.env}]`
    t.true(text.includes(row), row)
    for (const command of ['run', 'dev', 'routes', 'match', 'config']) {
      t.true(helpOf(`${command} --help`).replaceAll(/\s+/g, ' ').includes(row))
    }
  })
}

test('--help names the commands first, and not the one that is none of the user’s', (t) => {
  const text = helpOf('--help')
  for (const command of ['run', 'dev', 'routes', 'match <topic>', 'config'])
    t.true(text.includes(`  ${command}  `), command)
  t.true(text.indexOf('Commands:') < text.indexOf('Options:'))
  t.false(text.includes('dev-server'))
  t.is(helpOf('-h'), text)
  t.is(helpOf('-H x --help'), text)
  t.is(helpOf('help'), text)
  t.regex(helpOf('help match'), /mqttasgi match \[options\] <topic> \[application\]/)
})

test('--help says where the flags of a command are that has some of its own', (t) => {
  t.regex(
    helpOf('--help'),
    /\nFlags of their own have plan, doctor and dlq: mqttasgi plan --help, mqttasgi doctor --help, mqttasgi dlq --help\.\n/,
  )
  t.regex(helpOf('dlq --help'), /--since <?TIME>?/)
})

test('a bare word may have been meant as a command', (t) => {
  t.deepEqual(parse('foo'), { ...nothing, application: 'foo', word: 'foo' })
  t.deepEqual(parse('run foo'), { ...nothing, application: 'foo' })
})

test('--version is the version', (t) => {
  t.is(parse('--version'), '1.2.3\n')
  t.is(parse('-V'), '1.2.3\n')
})

const refused = test.macro<[string, string]>({
  exec(t, line, message) {
    t.throws(() => parse(line), { code: 'ERR_USAGE', message })
  },
  title: (_, line) => `mqttasgi ${line} is refused`,
})
test(refused, '--hots x', "unknown option '--hots' (Did you mean --host?). See mqttasgi --help.")
test(refused, '--pasword=canary', "unknown option '--pasword=…'. See mqttasgi --help.")
test(refused, '-H', "option '-H, --host <HOST>' argument missing. See mqttasgi --help.")
test(refused, 'match', "missing required argument 'topic'. See mqttasgi --help.")
test(
  refused,
  './a.ts ./b.ts',
  'too many arguments for run: expected one application, got 2. See mqttasgi --help.',
)
test(
  refused,
  'match a/b ./a.ts x',
  'too many arguments for match: expected one application, got 2. See mqttasgi --help.',
)
test(refused, 'dve ./app.ts', 'there is no command dve. Did you mean dev? A file is written as ./dve.')
test(
  refused,
  'start ./app.ts',
  'there is no command start. There are run, dev, routes, match, config, plan, doctor, dlq, channel. A file is written as ./start.',
)
test(
  refused,
  'match ./app.ts#app',
  'match takes the topic first, as in mqttasgi match sensors/hall/temp ./app.ts#app.',
)
test(
  refused,
  '--pasword canary ./app.ts',
  "unknown option '--pasword' (Did you mean --password?). See mqttasgi --help.",
)
test(refused, 'rutes', 'there is no command rutes. Did you mean routes? A file is written as ./rutes.')
