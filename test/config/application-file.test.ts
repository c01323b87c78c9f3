import { join } from 'node:path'
import test from 'ava'
import { absoluteSpec, loadApplication, parseSpec } from '../../lib/config/application-file.ts'
import { createLoader } from '../../lib/config/modules.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

class Marker {
  // A private field: an application that came back inside a proxy would fail here.
  readonly #name: string
  constructor(name: string) {
    this.#name = name
  }
  get name(): string {
    return this.#name
  }
}
const own = { mqttasgi: { make: (name: string) => new Marker(name) } }

const files = {
  'default.ts': `import { make } from 'mqttasgi'\nexport default make('default')\nexport const app = make('app')`,
  'named.ts': `import { make } from 'mqttasgi'\nexport const other = 1\nexport const app = make('app')\nexport const Billing = make('billing')`,
  'nothing.ts': `console.assert(true)`,
  'wrong.ts': `export const application = 1\nexport const second = 2`,
  'whole.cjs': `const { make } = require('mqttasgi')\nmodule.exports = make('whole')`,
  'parts.cjs': `const { make } = require('mqttasgi')\nmodule.exports = { app: make('part') }`,
  'function.cjs': `module.exports = function billing(scope, receive, send) {}`,
  'class.cjs': `module.exports = class Billing {}\nmodule.exports.second = class Second {}`,
  'old/class.js': `module.exports = class Old {}`,
  'old/package.json': '{ "type": "commonjs" }',
  'importer.ts': `import './class.cjs'\nexport const app = 1`,
  'plain.js': `import { make } from 'mqttasgi'\nexport const app = make('plain')`,
  'throws.mjs': `globalThis.mqttasgiTestRuns = (globalThis.mqttasgiTestRuns ?? 0) + 1\nthrow new Error('boom')`,
  'a#b.ts': `import { make } from 'mqttasgi'\nexport const app = make('hash')`,
  'package.json': '{ "type": "module" }',
}

const found = test.macro<[string, string]>({
  async exec(t, spec: string, name: string) {
    const folder = temporaryFolder(t, files)
    const application = await loadApplication(
      spec,
      folder,
      createLoader(async () => own, folder),
    )
    if (!(application instanceof Marker)) return t.fail()
    return t.is(application.name, name)
  },
  title: (_, spec, name) => `${spec} is ${name}`,
})
test(found, './default.ts', 'default')
test(found, 'default.ts', 'default')
test(found, './default.ts#app', 'app')
test(found, './named.ts', 'app')
test(found, './named.ts#', 'app')
test(found, './named.ts#Billing', 'billing')
test(found, './whole.cjs', 'whole')
test(found, './parts.cjs', 'part')
test(found, './parts.cjs#app', 'part')
test(found, './plain.js', 'plain')
test(found, './a#b.ts#app', 'hash')

const foundFunction = test.macro<[string, string]>({
  async exec(t, spec: string, name: string) {
    const folder = temporaryFolder(t, files)
    const loader = createLoader(async () => own, folder)
    const application = await loadApplication(spec, folder, loader)
    if (typeof application !== 'function') return t.fail()
    t.is(application.name, name)
    // Imported by another file first, it comes out of the cache.
    const other = createLoader(async () => own, folder)
    await loadApplication('./importer.ts', folder, other)
    return t.is(Reflect.get(Object(await loadApplication(spec, folder, other)), 'name'), name)
  },
  title: (_, spec, name) => `${spec} is the function or class ${name}`,
})
test(foundFunction, './function.cjs', 'billing')
test(foundFunction, './class.cjs', 'Billing')
test(foundFunction, './class.cjs#second', 'Second')
test(foundFunction, './old/class.js', 'Old')

const refused = test.macro<[string, string, RegExp]>({
  async exec(t, spec: string, code: string, message: RegExp) {
    const folder = temporaryFolder(t, files)
    const error = await t.throwsAsync(
      loadApplication(
        spec,
        folder,
        createLoader(async () => own, folder),
      ),
      { code },
    )
    t.regex(error?.message ?? '', message)
  },
  title: (_, spec) => `${spec} is refused, and the message says what there is`,
})
test(
  refused,
  './missing.ts',
  'ERR_APPLICATION_FILE',
  /^the application \.\/missing\.ts \(\S+missing\.ts\) can not be read: there is no such file \(ENOENT\)\.$/,
)
test(refused, './named', 'ERR_APPLICATION_FILE', /Did you mean \.\/named\.ts\?$/)
test(refused, './nmaed.ts', 'ERR_APPLICATION_FILE', /Did you mean \.\/named\.ts\?$/)
test(refused, './named.js', 'ERR_APPLICATION_FILE', /Did you mean \.\/named\.ts\?$/)
test(refused, 'my_app.consumers:Consumer', 'ERR_APPLICATION_FILE', /written as \.\/file\.ts#export/)
test(refused, '.', 'ERR_APPLICATION_FILE', /is not a file/)
test(
  refused,
  './nothing.ts',
  'ERR_APPLICATION_EXPORT',
  /has no default export and none named app\. It exports nothing\./,
)
test(
  refused,
  './wrong.ts',
  'ERR_APPLICATION_EXPORT',
  /It exports application, second\. \.\/file\.ts#name says which/,
)
test(
  refused,
  './named.ts#billing',
  'ERR_APPLICATION_EXPORT',
  /no export named billing\. It exports .*Billing.* Did you mean #Billing\?/,
)
test(refused, './named.ts#constructor', 'ERR_APPLICATION_EXPORT', /no export named constructor/)

test('a file that throws is run once, and the message has the place', async (t) => {
  const folder = temporaryFolder(t, files)
  const error = await t.throwsAsync(
    loadApplication(
      './throws.mjs',
      folder,
      createLoader(async () => own, folder),
    ),
    {
      code: 'ERR_APPLICATION_LOAD',
    },
  )
  t.is(
    error?.message,
    `${join(folder, 'throws.mjs')} can not be loaded: boom (${join(folder, 'throws.mjs')}:2)`,
  )
  t.is(Reflect.get(globalThis, 'mqttasgiTestRuns'), 1)
})

test('a spec is taken apart at its last #, and made absolute', (t) => {
  t.deepEqual(parseSpec('./a.ts', '/x'), { file: '/x/a.ts', name: undefined })
  t.deepEqual(parseSpec('a#b.ts#c', '/x'), { file: '/x/a#b.ts', name: 'c' })
  t.is(absoluteSpec('../a.ts#b', '/x/y'), '/x/a.ts#b')
  t.is(absoluteSpec('/z/a.ts', '/x/y'), '/z/a.ts')
})
