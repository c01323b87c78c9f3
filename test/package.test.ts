// The public face of the package: what each entry exports, by name, and what is packed.
import test from 'ava'
import { execFileSync, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')

interface Manifest {
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>
  readonly bin: Readonly<Record<string, string>>
}

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest

/** Every name that can be imported, by entry: values, and types. A change here is a change for users. */
const face: Readonly<
  Record<string, { readonly values: readonly string[]; readonly types: readonly string[] }>
> = {
  '.': {
    values: [
      'Drop',
      'InMemoryChannelLayer',
      'MqttConsumer',
      'MqttasgiError',
      'Reject',
      'Retry',
      'Router',
      'channelLayer',
      'decodeTopic',
      'errorCodes',
      'isFilter',
      'isTopic',
      'levels',
      'matches',
      'mqttasgi',
      'pattern',
      'serve',
      'sharedFilter',
    ],
    types: [
      'Application',
      'ApplicationHandle',
      'Attempt',
      'ChannelContext',
      'ChannelCounters',
      'ChannelEvent',
      'ChannelHandler',
      'ChannelHandlerOptions',
      'ChannelHandlers',
      'ChannelLayer',
      'ChannelLayerOptions',
      'ChannelLimits',
      'Client',
      'Closed',
      'ConcurrencyLimit',
      'ConnectClient',
      'ConnectHandler',
      'ConsumerHandler',
      'ConsumerMessage',
      'ConsumerScope',
      'Context',
      'Counters',
      'DeliveryOptions',
      'DisconnectHandler',
      'DisconnectReason',
      'ErrorCode',
      'ErrorEntry',
      'ErrorHandler',
      'FailurePolicy',
      'Handler',
      'InMemoryChannelLayerOptions',
      'IncomingEvent',
      'Interest',
      'JsonLimits',
      'KeyContext',
      'KillOptions',
      'LogFields',
      'Logger',
      'Message',
      'MessageProperties',
      'Mountable',
      'MqttConnectEvent',
      'MqttDisconnectEvent',
      'MqttMessageEvent',
      'MqttPublishEvent',
      'MqttSubscribeEvent',
      'MqttUnsubscribeEvent',
      'Next',
      'Order',
      'Outcome',
      'OutgoingEvent',
      'Overflow',
      'Pattern',
      'Payload',
      'Plan',
      'PublishOptions',
      'PublishProperties',
      'PublishResult',
      'QoS',
      'RawApplication',
      'RawReceive',
      'RawScope',
      'RawSend',
      'Receiver',
      'RejectDetails',
      'RestartPolicy',
      'RetryOptions',
      'RetryPolicy',
      'RetryRequest',
      'RouteOptions',
      'RunningChain',
      'Scope',
      'ScopeParams',
      'SendResults',
      'ServeOptions',
      'Server',
      'SessionInfo',
      'SharedFilter',
      'SheddingPolicy',
      'StopOptions',
      'StopResult',
      'SubscribeOptions',
      'SubscribeResult',
      'TopicParams',
      'UnmatchedHandler',
      'Usable',
      'WorkerApplication',
      'WorkerEnd',
      'WorkerHandle',
      'WorkerInfo',
      'WorkerKillEvent',
      'WorkerOptions',
      'WorkerSpawnEvent',
      'WorkerState',
      'Workforce',
    ],
  },
  './config': {
    values: ['defineConfig'],
    types: [
      'ApplicationLike',
      'BrokerInput',
      'ChannelsInput',
      'ConfigContext',
      'ConfigExport',
      'ConfigInput',
      'ConsumerLike',
      'DeadLetterInput',
      'OutboxInput',
      'ServeInput',
      'TlsInput',
      'WillInput',
      'WorkerInput',
    ],
  },
  './testing': {
    values: ['FakeClock', 'MemoryBroker', 'MemoryTransport', 'MqttCommunicator', 'dispatch'],
    types: [
      'CommunicatorDelivery',
      'CommunicatorOutput',
      'ConnectionFailure',
      'ConnectionInfo',
      'DispatchOptions',
      'DispatchResult',
      'MemoryDelivery',
      'MemoryFault',
      'MemoryOperation',
      'MemoryPublication',
      'MqttCommunicatorOptions',
      'Published',
      'SentEvent',
      'Subscribed',
      'SubscriptionRequest',
      'Transport',
    ],
  },
  './channels/mqtt': {
    values: ['MqttChannelLayer'],
    types: ['MqttChannelLayerOptions'],
  },
  './redis': {
    values: ['RedisChannelLayer'],
    types: ['RedisChannelLayerOptions'],
  },
  './broker': {
    values: ['startBroker'],
    types: ['BrokerOptions', 'BrokerPublishOptions', 'EmbeddedBroker'],
  },
}

/** `./dist/lib/index.js` is made of `lib/index.ts`. */
function sourceOf(built: string): string {
  return built.replace(/^\.\/dist\//, '').replace(/\.js$/, '.ts')
}

function entrySource(entry: string): string {
  const target = manifest.exports[entry]
  return typeof target === 'object' ? sourceOf(target.default) : ''
}

/** The names a face file lists. It consists of export statements with names and nothing else. */
function listed(source: string): { values: string[]; types: string[] } {
  const values: string[] = []
  const types: string[] = []
  for (const [, onlyTypes, names = ''] of source.matchAll(/^export (type )?\{([^}]*)\} from '/gm)) {
    for (const name of names.split(',').map((text) => text.trim())) {
      if (name === '') continue
      if (onlyTypes !== undefined) types.push(name)
      else if (name.startsWith('type ')) types.push(name.slice('type '.length))
      else values.push(name)
    }
  }
  return { values: values.sort(), types: types.sort() }
}

for (const [entry, expected] of Object.entries(face)) {
  test(`the entry ${entry} exports what is listed here, and nothing else`, async (t) => {
    const file = entrySource(entry)
    const source = readFileSync(join(root, file), 'utf8')
    t.notRegex(source, /export \*|export default|export (?:const|function|class|interface)/)
    t.deepEqual(listed(source), { values: [...expected.values], types: [...expected.types] })
    const loaded: unknown = await import(join(root, file))
    t.deepEqual(Object.keys(loaded as object).sort(), [...expected.values])
  })
}

test('every entry and the command have a source, and no entry is missing here', (t) => {
  const entries = Object.keys(manifest.exports).filter((entry) => entry !== './package.json')
  t.deepEqual(entries.sort(), Object.keys(face).sort())
  for (const entry of entries) {
    const target = manifest.exports[entry]
    if (typeof target !== 'object') return t.fail(`${entry} has no types`)
    t.is(target.types, target.default.replace(/\.js$/, '.d.ts'))
  }
  const built = [...Object.keys(face).map(entrySource), ...Object.values(manifest.bin).map(sourceOf)]
  for (const file of built) t.true(existsSync(join(root, file)), file)
})

test('the types of every entry bring those of Node along, where a project names none', (t) => {
  mkdirSync(join(root, 'build'), { recursive: true })
  const project = mkdtempSync(join(root, 'build/project-'))
  t.teardown(() => rmSync(project, { recursive: true }))
  const installed = join(project, 'node_modules/mqttasgi')
  t.is(
    compile(root, '-p', 'tsconfig.build.json', '--emitDeclarationOnly', '--outDir', join(installed, 'dist')),
    '',
  )
  // Else its name would be that of the package around it.
  writeFileSync(join(project, 'package.json'), '{}')
  copyFileSync(join(root, 'package.json'), join(installed, 'package.json'))
  const compilerOptions = { module: 'nodenext', strict: true, noEmit: true }
  const files = Object.keys(face).map((entry, at) => {
    const program = `import * as entry from 'mqttasgi${entry.slice(1)}'\nvoid entry\n`
    writeFileSync(join(project, `${at}.mts`), program)
    return `${at}.mts`
  })
  for (const file of files) {
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [file] }))
    t.is(compile(project), '')
  }
})

/** What the compiler has to say. */
function compile(cwd: string, ...args: readonly string[]): string {
  const { stdout } = spawnSync(join(root, 'node_modules/.bin/tsc'), args, { cwd, encoding: 'utf8' })
  return stdout
}

test('the package holds what is built, what it is built from, and its papers', (t) => {
  // Without its scripts, or packing would build.
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts']
  const output = execFileSync('npm', args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [packed] = JSON.parse(output) as { files: { path: string }[] }[]
  const paths = (packed?.files ?? []).map(({ path }) => path)
  const papers = ['CHANGELOG.md', 'LICENSE', 'README.md', 'mqttasgi.config.example.ts', 'package.json']
  const skills = ['skills/mqttasgi/SKILL.md']
  const rest = paths.filter((path) => !/^(?:dist|lib)\//.test(path))
  t.deepEqual(rest.sort(), [...papers, ...skills])
  const folders = paths.filter((path) => /^(?:dist|lib)\//.test(path))
  t.true(folders.includes('lib/index.ts'))
  t.deepEqual(
    folders.filter((path) => !/\.(?:ts|js|d\.ts|js\.map|d\.ts\.map)$/.test(path) || path.includes('.test.')),
    [],
  )
})
