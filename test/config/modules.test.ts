// The loader of users' files: what is asked for at the same time runs once, and sees what it imports whole.
import test, { type ExecutionContext } from 'ava'
import { join } from 'node:path'
import { createLoader } from '../../lib/config/modules.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

// Each file that runs says so.
const own = { runs: { ran: (name: string) => void runs.push(name) } }
const runs: string[] = []

const files = {
  // By the time one file waits for it, the next one would find it half done.
  'shared.ts': `import { ran } from 'runs'\nran('shared')\nexport const shared = await Promise.resolve('whole')`,
  'one.ts': `import { ran } from 'runs'\nimport { shared } from './shared.ts'\nran('one')\nexport default { sees: shared }`,
  'two.ts': `import { ran } from 'runs'\nimport one from './one.ts'\nimport { shared } from './shared.ts'\nran('two')\nexport default { sees: shared, one }`,
  'broken.ts': `import './throws.ts'\nexport default {}`,
  'late.ts': `import { value } from './throws.ts'\nexport default { sees: value }`,
  'throws.ts': `import { ran } from 'runs'\nran('throws')\nawait null\nif (!globalThis.mqttasgiTestMended) throw new Error('boom')\nexport const value = 1`,
}

interface Loaded {
  readonly default: { readonly sees: unknown; readonly one?: unknown }
}

function place(t: ExecutionContext) {
  const folder = temporaryFolder(t, files)
  const loader = createLoader(async () => own, folder)
  runs.length = 0
  const load = async (name: string): Promise<Loaded> => (await loader.load(join(folder, name))) as Loaded
  return { folder, load, loader }
}

test.serial(
  'files that are loaded at the same time see what they share whole, and each runs once',
  async (t) => {
    const { load } = place(t)
    const [one, again, two, last] = await Promise.all([
      load('one.ts'),
      load('one.ts'),
      load('two.ts'),
      load('one.ts'),
    ])
    t.is(one.default.sees, 'whole')
    t.is(two.default.sees, 'whole')
    t.is(again.default, one.default)
    t.is(last.default, one.default)
    t.is(two.default.one, one.default)
    t.deepEqual(runs, ['shared', 'one', 'two'])
  },
)

test.serial('what has thrown keeps no other file from being loaded, and may be loaded anew', async (t) => {
  const { folder, load, loader } = place(t)
  const [broken, twice, late, one] = await Promise.allSettled([
    load('broken.ts'),
    load('broken.ts'),
    load('late.ts'),
    load('one.ts'),
  ])
  t.like(broken, { status: 'rejected', reason: { message: 'boom' } })
  t.is(twice.status, 'rejected')
  // And not the half that is left of what it imports.
  t.like(late, { status: 'rejected', reason: { message: 'boom' } })
  t.is(one.status, 'fulfilled')
  // A change of what has thrown is what may mend it.
  t.true(loader.files().includes(join(folder, 'throws.ts')))
  Object.assign(globalThis, { mqttasgiTestMended: true })
  t.teardown(() => Reflect.deleteProperty(globalThis, 'mqttasgiTestMended'))
  t.is((await load('late.ts')).default.sees, 1)
})
