import test from 'ava'
import { loadConfig } from '../../lib/config/load.ts'
import * as config from '../../lib/config/index.ts'
import { createLoader } from '../../lib/config/modules.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

// Stands for the application of the package: an instance made by the configuration must be one of ours.
class Marker {
  use() {}
  topic() {}
}
const own = { mqttasgi: { mqttasgi: () => new Marker() }, 'mqttasgi/config': config }

const imports = `import { defineConfig } from 'mqttasgi/config'\nimport { mqttasgi } from 'mqttasgi'\n`
const requires = `const { defineConfig } = require('mqttasgi/config')\nconst { mqttasgi } = require('mqttasgi')\n`
const object = `{ broker: { port: 1884 }, application: mqttasgi() }`
const typed = `const port: number = 1884\n`
const typedObject = `{ broker: { port }, application: mqttasgi() } `
const func = (body: string) =>
  `({ command, env }) => { if (command !== 'run' || env.MARK !== '1') throw new Error('context'); return (${body}) }`
const asyncFunc = (body: string) => `async () => (await Promise.resolve(${body}))`

const styles = {
  'ESM object': `${imports}export default defineConfig(${object})`,
  'ESM function': `${imports}export default defineConfig(${func(object)})`,
  'ESM async function': `${imports}export default ${asyncFunc(object)}`,
  'ESM with await': `${imports}const port = await Promise.resolve(1884)\nexport default { broker: { port }, application: mqttasgi() }`,
  'CommonJS object': `${requires}module.exports = defineConfig(${object})`,
  'CommonJS function': `${requires}module.exports = ${func(object)}`,
  'CommonJS exports.default': `${requires}exports.default = ${object}`,
  'TypeScript object': `${imports}${typed}export default defineConfig(${typedObject})`,
  'TypeScript export =': `${imports}${typed}export = defineConfig(${typedObject})`,
  json: '{ "broker": { "port": 1884 }, "application": "./app.js" }',
  yaml: 'broker:\n  port: 1884\napplication: ./app.js\n',
} as const

type Style = keyof typeof styles

const stylesOf: Readonly<Record<string, readonly Style[]>> = {
  ts: ['TypeScript object', 'ESM function', 'ESM async function', 'ESM with await'],
  mts: ['TypeScript object', 'ESM function', 'ESM async function'],
  cts: ['TypeScript object', 'TypeScript export =', 'CommonJS object'],
  js: ['ESM object', 'ESM function', 'CommonJS object'],
  mjs: ['ESM object', 'ESM function', 'ESM with await'],
  cjs: ['CommonJS object', 'CommonJS function', 'CommonJS exports.default'],
  json: ['json'],
  yaml: ['yaml'],
  yml: ['yaml'],
}

const shapes = Object.entries(stylesOf).flatMap(([ending, list]) =>
  list.flatMap((style) => [
    { ending, style, packageType: 'module' },
    { ending, style, packageType: 'commonjs' },
  ]),
)

for (const { ending, style, packageType } of shapes) {
  test(`mqttasgi.config.${ending} under "type": "${packageType}", as ${style}, is loaded`, async (t) => {
    const folder = temporaryFolder(t, {
      [`mqttasgi.config.${ending}`]: styles[style],
      'package.json': JSON.stringify({ type: packageType }),
    })
    const loader = createLoader(async () => own, folder)
    const settings = await loadConfig({ cwd: folder, flags: {}, env: { MARK: '1' }, command: 'run', loader })
    t.is(settings.broker.port, 1884)
    t.is(settings.sources['broker.port'], `file mqttasgi.config.${ending}`)
    if (style === 'json' || style === 'yaml') t.is(settings.application, `${folder}/app.js`)
    else t.true(settings.application instanceof Marker)
  })
}

for (const packageType of ['module', 'commonjs']) {
  test(`the key mqttasgi of package.json under "type": "${packageType}" is loaded`, async (t) => {
    const content = { type: packageType, mqttasgi: { broker: { port: 1884 } } }
    const folder = temporaryFolder(t, { 'package.json': JSON.stringify(content) })
    const loader = createLoader(async () => own, folder)
    const settings = await loadConfig({ cwd: folder, flags: {}, env: {}, command: 'run', loader })
    t.is(settings.broker.port, 1884)
    t.is(settings.sources['broker.port'], 'file package.json')
  })
}
