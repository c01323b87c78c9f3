// The engine: what it said to be stored is there, whatever the disk does.
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import fs, { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { DurableMap, type DurableMapOptions } from '../../lib/durable/durable-map.ts'
import { type DiskCall, diskError, MemoryDisk } from '../helpers/memory-disk.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

const folder = '/state/journal'
const lock = () => ({ release() {} })

function open(files: MemoryDisk, more: Partial<DurableMapOptions> = {}): Promise<DurableMap> {
  return DurableMap.open({ folder, files, lock, ...more })
}

async function contents(map: DurableMap): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {}
  for await (const [key, value] of map.entries()) found[key] = value.toString()
  return found
}

const text = (value: string): Buffer => Buffer.from(value)

async function refused(t: ExecutionContext, promise: Promise<unknown>, code: string): Promise<MqttasgiError> {
  const error = await t.throwsAsync(promise, { instanceOf: MqttasgiError })
  t.is(error.code, code as MqttasgiError['code'])
  return error
}

/** Fails the next call of a kind, once. */
function failOnce(disk: MemoryDisk, kind: DiskCall, result: () => number | void): void {
  disk.fail = (call) => {
    if (call !== kind) return undefined
    disk.fail = () => {}
    return result()
  }
}

const full = (): never => {
  throw diskError('ENOSPC')
}
const broken = (): never => {
  throw diskError('EIO')
}

test('what was put is there after a restart, in the order of the latest put', async (t) => {
  const stateDir = temporaryFolder(t)
  const place = join(stateDir, 'a', 'b')
  const map = await DurableMap.open({ folder: place })
  await map.put('one', text('1'))
  await map.put('two', text('2'))
  await map.put('three', text(''))
  await map.put('one', text('I'))
  t.true(await map.delete('two'))
  t.false(await map.delete('two'))
  t.is(map.size, 2)
  t.is(map.bytes, 21 + 5 + 0 + 21 + 3 + 1)
  await map.close()
  const again = await DurableMap.open({ folder: place })
  t.deepEqual(Object.entries(await contents(again)), [
    ['three', ''],
    ['one', 'I'],
  ])
  t.is(again.damagedBytes, 0)
  t.is(again.size, 2)
  t.is(again.bytes, map.bytes)
  await again.close()
})

test('the folder and its files are for their owner only', async (t) => {
  const place = join(temporaryFolder(t), 'journal')
  const map = await DurableMap.open({ folder: place })
  await map.put('a', text('a'))
  t.is(statSync(place).mode & 0o777, 0o700)
  for (const name of readdirSync(place)) t.is(statSync(join(place, name)).mode & 0o777, 0o600, name)
  await map.close()
})

test('the changes of one turn are one write and one fsync', async (t) => {
  const disk = new MemoryDisk()
  const map = await open(disk)
  await map.put('first', text('makes the segment'))
  disk.calls.length = 0
  await Promise.all(Array.from({ length: 1_000 }, (_, i) => map.put(`${i}`, text('x'))))
  t.deepEqual(disk.calls, ['append', 'sync'])
  await map.close()
})

test('nothing is there before it is stored, and the changes of a key keep their order', async (t) => {
  const map = await open(new MemoryDisk())
  const puts = [map.put('a', text('1')), map.put('a', text('2')), map.delete('a'), map.put('a', text('3'))]
  t.is(map.size, 0)
  t.is(await map.get('a'), undefined)
  t.deepEqual(await Promise.all(puts), [undefined, undefined, true, undefined])
  t.deepEqual(await contents(map), { a: '3' })
  await map.close()
})

test('a journal that is cut after any byte has all that was confirmed before it, and nothing else', async (t) => {
  const disk = new MemoryDisk()
  const map = await open(disk)
  const steps: { readonly length: number; readonly has: Readonly<Record<string, string>> }[] = []
  const [file] = [join(folder, '00000001.journal')]
  for (const step of ['a', 'b', 'c', 'a', 'd']) {
    await map.put(step, text(`${step}${steps.length}`))
    if (step === 'c') await map.delete('b')
    steps.push({ length: disk.sizes()[file] ?? 0, has: await contents(map) })
  }
  await map.close()
  const bytes = await disk.read(file)
  for (let length = 0; length <= bytes.length; length++) {
    const cut = disk.afterPowerLoss(() => 0.9)
    cut.overwrite(file, bytes.subarray(0, length))
    const again = await open(cut)
    const whole = steps.findLast((step) => step.length <= length)?.has ?? {}
    const found = await contents(again)
    // Between two steps there is the deletion of b, which was not waited for alone.
    if ('c' in whole || !('c' in found)) t.deepEqual(found, whole, `cut after byte ${length}`)
    await again.put('e', text('still works'))
    t.is((await contents(again))['e'], 'still works')
    await again.close()
  }
})

test('damage in the middle of a segment costs the record it is in, and no other', async (t) => {
  const disk = new MemoryDisk()
  const map = await open(disk)
  for (const key of ['a', 'b', 'c']) await map.put(key, text(`value of ${key}`))
  await map.close()
  const file = join(folder, '00000001.journal')
  const bytes = await disk.read(file)
  for (let at = 0; at < bytes.length; at++) {
    const bad = Buffer.from(bytes)
    bad[at] = (bad[at] ?? 0) ^ 0x40
    const damaged = disk.afterPowerLoss(() => 0.9)
    damaged.overwrite(file, bad)
    const again = await open(damaged)
    t.true(again.size >= 2, `byte ${at}`)
    for (const [key, value] of Object.entries(await contents(again))) t.is(value, `value of ${key}`)
    await again.close()
  }
})

test('a payload that looks like a record is never taken for one', async (t) => {
  const disk = new MemoryDisk()
  const first = await open(disk)
  await first.put('real', text('x'))
  await first.close()
  const forged = await disk.read(join(folder, '00000001.journal'))
  const second = await open(disk)
  await second.put('payload', forged)
  await second.close()
  const file = join(folder, '00000002.journal')
  const bytes = Buffer.from(await disk.read(file))
  // The record around it is broken, so that the search goes through its payload.
  bytes[20] = (bytes[20] ?? 0) ^ 1
  disk.overwrite(file, bytes)
  disk.overwrite(join(folder, '00000001.journal'), Buffer.alloc(0))
  const third = await open(disk)
  t.deepEqual(third.keys(), [])
  t.true(third.damagedBytes > 0)
  await third.close()
})

test('an fsync that fails rejects all that waited for it, and what comes later goes into a new segment', async (t) => {
  const disk = new MemoryDisk()
  const map = await open(disk)
  await map.put('kept', text('1'))
  failOnce(disk, 'sync', broken)
  const waiting = ['a', 'b', 'kept'].map((key) => refused(t, map.put(key, text('2')), 'ERR_JOURNAL_WRITE'))
  const errors = await Promise.all(waiting)
  t.regex(errors[0]?.message ?? '', /\/state\/journal could not be written: EIO/)
  t.deepEqual(await contents(map), { kept: '1' })
  await map.put('a', text('3'))
  t.deepEqual(Object.keys(disk.sizes()).length, 2)
  t.deepEqual(await contents(map), { kept: '1', a: '3' })
  await map.close()
  const again = await open(disk.afterPowerLoss(Math.random))
  t.deepEqual(await contents(again), { kept: '1', a: '3' })
  await again.close()
})

for (const kind of ['append', 'sync', 'create', 'syncFolder'] as const) {
  test(`a disk that fails at ${kind} loses nothing that was stored, and works again when it does`, async (t) => {
    const disk = new MemoryDisk()
    const map = await open(disk, { segmentBytes: 1 })
    await map.put('a', text('1'))
    failOnce(disk, kind, full)
    await refused(t, map.put('b', text('2')), 'ERR_JOURNAL_WRITE')
    t.deepEqual(await contents(map), { a: '1' })
    await map.put('b', text('3'))
    await map.close()
    const again = await open(disk)
    t.deepEqual(await contents(again), { a: '1', b: '3' })
    await again.close()
  })
}

test('a short write is finished', async (t) => {
  const disk = new MemoryDisk()
  const map = await open(disk)
  let writes = 0
  disk.fail = (call) => (call === 'append' ? (writes++ % 2 === 0 ? 3 : 1) : undefined)
  await map.put('a', text('a value that is longer than that'))
  await map.close()
  const again = await open(disk)
  t.deepEqual(await contents(again), { a: 'a value that is longer than that' })
  await again.close()
})

test('a deletion is written when a put before it was rejected but may be on the disk', async (t) => {
  const disk = new MemoryDisk()
  const map = await open(disk)
  await map.put('other', text('1'))
  disk.fail = (call) => {
    if (call === 'sync' || call === 'truncate') broken()
  }
  await refused(t, map.put('a', text('1')), 'ERR_JOURNAL_WRITE')
  disk.fail = () => {}
  t.false(await map.delete('a'))
  await map.close()
  const again = await open(disk)
  t.deepEqual(again.keys(), ['other'])
  await again.close()
})

test('more than it may hold is refused, and what waits counts', async (t) => {
  const map = await open(new MemoryDisk(), { maxEntries: 2, maxBytes: 100 })
  const first = map.put('a', text('1'))
  const second = map.put('b', text('2'))
  await refused(t, map.put('c', text('3')), 'ERR_JOURNAL_FULL')
  await Promise.all([first, second])
  await map.put('a', text('4'))
  await map.delete('b')
  await refused(t, map.put('c', Buffer.alloc(60)), 'ERR_JOURNAL_FULL')
  await map.put('c', Buffer.alloc(50))
  await refused(t, map.put('k'.repeat(65_536), text('')), 'ERR_JOURNAL_FULL')
  t.is(map.size, 2)
  await map.close()
})

test('what is dead is cleaned away, with the disk never far above what lives', async (t) => {
  const disk = new MemoryDisk()
  const segmentBytes = 1_000
  const map = await open(disk, { segmentBytes })
  await map.put('stays', text('from the beginning'))
  let most = 0
  for (let i = 0; i < 300; i++) {
    await map.put(`${i}`, Buffer.alloc(100, i))
    if (i >= 5) await map.delete(`${i - 5}`)
    const sum = Object.values(disk.sizes()).reduce((a, b) => a + b, 0)
    most = Math.max(most, sum)
  }
  t.true(most <= 2 * map.bytes + 3 * segmentBytes, `${most}`)
  t.deepEqual(map.keys(), ['stays', '295', '296', '297', '298', '299'])
  await map.close()
  const again = await open(disk, { segmentBytes })
  t.deepEqual(again.keys(), ['stays', '295', '296', '297', '298', '299'])
  t.is((await again.get('stays'))?.toString(), 'from the beginning')
  await again.close()
})

test('many starts do not leave many segments', async (t) => {
  const disk = new MemoryDisk()
  for (let i = 0; i < 100; i++) {
    const map = await open(disk)
    await map.put(`${i}`, text(`${i}`))
    await map.close()
  }
  t.true(Object.keys(disk.sizes()).length <= 10)
  const map = await open(disk)
  t.deepEqual(
    map.keys(),
    Array.from({ length: 100 }, (_, i) => `${i}`),
  )
  await map.close()
})

test('cleaning that fails costs nothing but space, and is not tried at every change', async (t) => {
  const disk = new MemoryDisk()
  const map = await open(disk, { segmentBytes: 500 })
  await map.put('stays', text('x'))
  disk.fail = (call) => (call === 'readAt' ? broken() : undefined)
  for (let i = 0; i < 200; i++) await map.put('same', Buffer.alloc(50, i))
  t.true(disk.calls.filter((call) => call === 'readAt').length < 10)
  disk.fail = () => {}
  for (let i = 0; i < 200; i++) await map.put('same', Buffer.alloc(50, i))
  const sum = Object.values(disk.sizes()).reduce((a, b) => a + b, 0)
  t.true(sum < 2_500, `${sum}`)
  t.deepEqual(map.keys(), ['stays', 'same'])
  await map.close()
})

test('a segment of a later version is not taken for damage', async (t) => {
  const disk = new MemoryDisk()
  const map = await open(disk)
  await map.put('a', text('1'))
  await map.close()
  const file = join(folder, '00000001.journal')
  const bytes = Buffer.from(await disk.read(file))
  bytes[3] = 9
  const { crc32 } = await import('node:zlib')
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 8)), 8)
  disk.overwrite(file, bytes)
  const error = await refused(t, open(disk), 'ERR_JOURNAL_OPEN')
  t.regex(error.message, /version 9/)
})

test('a folder that can not be made is said to be so', async (t) => {
  const place = join(temporaryFolder(t, { file: 'in the way' }), 'file', 'journal')
  const error = await refused(t, DurableMap.open({ folder: place }), 'ERR_JOURNAL_OPEN')
  t.regex(error.message, /ENOTDIR/)
})

test('a journal that is open is closed to everybody else, and to changes once it is closed', async (t) => {
  const place = join(temporaryFolder(t), 'journal')
  const map = await DurableMap.open({ folder: place })
  const error = await refused(t, DurableMap.open({ folder: place }), 'ERR_JOURNAL_LOCKED')
  t.regex(error.message, /in use by this process/)
  const last = map.put('a', text('1'))
  await Promise.all([map.close(), map.close(), last])
  await refused(t, map.put('b', text('1')), 'ERR_JOURNAL_CLOSED')
  await refused(t, map.delete('a'), 'ERR_JOURNAL_CLOSED')
  const again = await DurableMap.open({ folder: place })
  t.deepEqual(again.keys(), ['a'])
  await again.close()
  t.false(readdirSync(place).includes('lock'))
})

test.serial(
  'a journal can be closed on a disk that takes nothing any more, not even its lock away',
  async (t) => {
    const place = join(temporaryFolder(t), 'journal')
    const map = await DurableMap.open({ folder: place })
    await map.put('a', text('1'))
    const { unlinkSync } = fs
    fs.unlinkSync = () => {
      throw diskError('EROFS')
    }
    syncBuiltinESMExports()
    try {
      await t.notThrowsAsync(map.close())
    } finally {
      fs.unlinkSync = unlinkSync
      syncBuiltinESMExports()
    }
    t.true(readdirSync(place).includes('lock'))
  },
)

test('other files of the folder are left alone', async (t) => {
  const place = temporaryFolder(t, { 'notes.txt': 'mine', '1.journal': 'not ours' })
  const map = await DurableMap.open({ folder: place })
  await map.put('a', text('1'))
  await map.close()
  t.is(readFileSync(join(place, 'notes.txt'), 'utf8'), 'mine')
  t.is(readFileSync(join(place, '1.journal'), 'utf8'), 'not ours')
  writeFileSync(join(place, 'notes.txt'), 'still mine')
})

// --- against a model ----------------------------------------------------------------------------

type Step =
  | { readonly type: 'put'; readonly key: string; readonly size: number }
  | { readonly type: 'delete'; readonly key: string }
  | { readonly type: 'wait' }
  | { readonly type: 'reopen' }
  | { readonly type: 'powerLoss' }
  | { readonly type: 'fail'; readonly after: number; readonly times: number }

const aKey = fc.constantFrom('a', 'b', 'c', 'd', 'e')
const aStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ type: fc.constant('put'), key: aKey, size: fc.integer({ min: 0, max: 60 }) }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('delete'), key: aKey }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('wait') }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('reopen') }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('powerLoss') }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('fail'),
      after: fc.integer({ min: 0, max: 6 }),
      times: fc.integer({ min: 1, max: 3 }),
    }),
  },
)

/** What a key may be after a restart: what was confirmed last, and whatever was asked for after that. */
type Model = Map<string, { readonly value: string | undefined }[]>

class Subject {
  readonly #random: () => number
  readonly #model: Model = new Map()
  readonly #waiting: Promise<void>[] = []
  #disk = new MemoryDisk()
  #map: DurableMap | undefined
  #epoch = 0
  #made = 0

  constructor(random: () => number) {
    this.#random = random
  }

  async open(): Promise<void> {
    this.#disk.fail = () => {}
    this.#map = await open(this.#disk, { segmentBytes: 200 })
    for (const key of this.#map.keys()) if (!this.#model.has(key)) throw new Error(`${key} was invented`)
    for (const [key, allowed] of this.#model) {
      const value = (await this.#map.get(key))?.toString()
      if (!allowed.some((one) => one.value === value))
        throw new Error(`${key} is ${value}, not ${allowed.map((one) => one.value).join(' or ')}`)
      this.#model.set(key, [{ value }])
    }
  }

  async run(step: Step): Promise<void> {
    if (step.type === 'put') this.#ask(step.key, `${this.#made++}`.padEnd(step.size, '.'))
    if (step.type === 'delete') this.#ask(step.key, undefined)
    if (step.type === 'wait') await Promise.all(this.#waiting)
    if (step.type === 'fail') this.#fail(step.after, step.times)
    if (step.type === 'reopen') {
      await this.#map?.close()
      await Promise.all(this.#waiting)
      await this.open()
    }
    if (step.type === 'powerLoss') {
      // What was asked for in this turn may be anywhere between the queue and the disk.
      for (let turns = Math.floor(this.#random() * 8); turns > 0; turns--) await Promise.resolve()
      if (this.#random() < 0.5) await new Promise(setImmediate)
      this.#epoch++
      this.#disk = this.#disk.afterPowerLoss(this.#random)
      this.#waiting.length = 0
      await this.open()
    }
  }

  async end(): Promise<void> {
    await this.run({ type: 'reopen' })
    await this.#map?.close()
  }

  #ask(key: string, value: string | undefined): void {
    const map = this.#map
    const epoch = this.#epoch
    if (map === undefined) return
    const allowed = this.#model.get(key) ?? [{ value: undefined }]
    this.#model.set(key, allowed)
    const change = { value }
    allowed.push(change)
    const asked = value === undefined ? map.delete(key) : map.put(key, text(value))
    const confirmed = asked.then(
      () => {
        // What was asked for before this one is out of question now.
        if (epoch === this.#epoch) allowed.splice(0, allowed.indexOf(change))
      },
      () => {},
    )
    this.#waiting.push(confirmed)
  }

  #fail(after: number, times: number): void {
    let calls = 0
    this.#disk.fail = (call) => {
      if (calls++ < after || calls > after + times) return undefined
      if (call === 'append' && this.#random() < 0.5) return 1
      throw diskError(this.#random() < 0.5 ? 'EIO' : 'ENOSPC')
    }
  }
}

test('whatever fails and whenever the power goes, what was confirmed is there and nothing is invented', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(aStep, { maxLength: 60 }),
      fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })),
      async (steps, chances) => {
        const subject = new Subject(() => chances.next().value ?? 0)
        await subject.open()
        for (const step of steps) await subject.run(step)
        await subject.end()
      },
    ),
    { numRuns: 500 },
  )
  t.pass()
})
