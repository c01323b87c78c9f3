import test from 'ava'
import { arrange } from '../../lib/cli/arguments.ts'

const commands = ['run', 'dev', 'match']

const arranged = test.macro<[string, string | undefined, string]>({
  exec(t, line, command, words) {
    const result = arrange(line.split(' '), commands)
    t.is(result.command, command)
    t.is(result.words.join(' '), words)
  },
  title: (_, line, command, words) => `mqttasgi ${line} → ${command ?? '(run)'} ${words}`,
})

test(arranged, './app.ts', undefined, './app.ts')
test(arranged, 'dev ./app.ts', 'dev', './app.ts')
test(arranged, '-H x dev ./app.ts', 'dev', '-H x ./app.ts')
test(arranged, '--host dev ./app.ts', undefined, '--host dev ./app.ts')
test(arranged, '--host=dev run', 'run', '--host=dev')
test(arranged, './app.ts dev', undefined, './app.ts dev')
test(arranged, 'match run', 'match', 'run')
test(arranged, '-SSL', undefined, '--use-ssl=true')
test(arranged, '-SSL true ./app.ts', undefined, '--use-ssl=true ./app.ts')
test(arranged, '-SSL FALSE ./app.ts', undefined, '--use-ssl=FALSE ./app.ts')
test(arranged, '-SSL ./app.ts', undefined, '--use-ssl=true ./app.ts')
test(arranged, '-SSL=false', undefined, '--use-ssl=false')
test(arranged, '--use-ssl ./app.ts', undefined, '--use-ssl=true ./app.ts')
test(arranged, '--use-ssl=false', undefined, '--use-ssl=false')
test(arranged, '-c ./app.ts', undefined, '--cleansession=true ./app.ts')
test(arranged, '-c false', undefined, '--cleansession=false')
test(arranged, '-cfalse', undefined, '--cleansession=false')
test(arranged, '--cleansession false x', undefined, '--cleansession=false x')
test(arranged, '-c dev', 'dev', '--cleansession=true')
test(arranged, '-v', undefined, '--verbosity=1')
test(arranged, '-vv', undefined, '--verbosity=2')
test(arranged, '-v 2 ./app.ts', undefined, '--verbosity=2 ./app.ts')
test(arranged, '-v2', undefined, '--verbosity=2')
test(arranged, '-v ./app.ts', undefined, '--verbosity=1 ./app.ts')
test(arranged, '-v 7', undefined, '--verbosity=7')
test(arranged, '-P -c ./app.ts', undefined, '-P -c ./app.ts')
test(arranged, '-P', undefined, '-P')
test(arranged, '-S ca.pem -SSL', undefined, '-S ca.pem --use-ssl=true')
test(arranged, '-x -SSLX', undefined, '-x -SSLX')
test(arranged, '-c -- -SSL dev', undefined, '--cleansession=true -- -SSL dev')

test('an empty word is kept: an empty option is an unset one', (t) => {
  t.deepEqual(arrange(['-H', '', './app.ts'], commands).words, ['-H', '', './app.ts'])
})
