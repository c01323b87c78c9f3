// What every store of dead letters promises; each implementation runs this suite over a set-up of its own.
import type { ExecutionContext } from 'ava'
import type { DeadLetter, DeadLetterArchive, DeadLetterStore } from '../../lib/core/dead-letter.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { fullLetter, letter } from '../helpers/letters.ts'

/** AVA's `test`, or one that skips where a server is missing. */
type Register = (title: string, run: (t: ExecutionContext) => Promise<void>) => void

/** How many letters the store of a set-up may hold. */
export const contractMaximum = 5

/** A store over something that can be broken. */
export interface StoreSetup<S extends DeadLetterStore> {
  readonly store: S
  /** Lets go of the store, and gives another one over the same letters. */
  readonly reopen: () => Promise<S>
  /** From now on nothing can be kept. */
  readonly breakDown: () => Promise<void>
  readonly mend: () => Promise<void>
}

/** The same, of one whose letters can be looked at again. */
export interface ArchiveSetup extends StoreSetup<DeadLetterArchive> {
  /** Puts what is no letter of this release among them, under an id of its own. */
  readonly plant: (id: string, bytes: Buffer) => Promise<void>
}

/** What is promised by all. `open` gives a store that nothing was kept in. */
export function storeContract(
  test: Register,
  name: string,
  open: (t: ExecutionContext) => Promise<StoreSetup<DeadLetterStore>>,
): void {
  test(`${name}: a letter is kept, twice too, and large ones, and without a payload`, async (t) => {
    const { store } = await open(t)
    const one = fullLetter()
    await t.notThrowsAsync(async () => {
      await store.keep(one)
      await store.keep(one)
      await store.keep(letter({ payload: Buffer.alloc(300_000, 'large') }))
      await store.keep(letter({ payload: Buffer.alloc(0) }))
    })
  })

  test(`${name}: what can not be kept is rejected with a code, and can be kept later`, async (t) => {
    const { store, breakDown, mend } = await open(t)
    await store.keep(letter())
    await breakDown()
    const one = letter()
    const error = await t.throwsAsync(store.keep(one), { instanceOf: MqttasgiError })
    t.regex(error.code, /^ERR_/)
    await mend()
    await t.notThrowsAsync(store.keep(one))
  })

  test(`${name}: its name is one line, and close() can be called before anything else and again`, async (t) => {
    const { store } = await open(t)
    t.regex(store.name, /^[ -~]+$/)
    await t.notThrowsAsync(async () => {
      await store.close()
      await store.close()
    })
  })
}

/** What is promised by those whose letters can be looked at again. */
export function archiveContract(
  test: Register,
  name: string,
  open: (t: ExecutionContext) => Promise<ArchiveSetup>,
): void {
  test(`${name}: what was kept can be read, whole, oldest first, also by another`, async (t) => {
    const { store, reopen } = await open(t)
    t.deepEqual(await lettersOf(store), [])
    const letters = [letter(), fullLetter(), letter({ payload: Buffer.alloc(100_000, 3) })]
    for (const one of letters.toReversed()) await store.keep(one)
    t.deepEqual(await lettersOf(store), letters)
    t.deepEqual(await lettersOf(await reopen()), letters)
  })

  test(`${name}: a letter that is kept twice is there once`, async (t) => {
    const { store } = await open(t)
    const one = letter()
    for (let i = 0; i < contractMaximum * 2; i++) await store.keep(one)
    t.deepEqual(await lettersOf(store), [one])
    t.is(await store.remove([one.id]), 1)
    t.deepEqual(await lettersOf(store), [])
  })

  test(`${name}: what was removed is gone for good, and counted once`, async (t) => {
    const { store, reopen } = await open(t)
    const [a, b, c] = [letter(), letter(), letter()]
    for (const one of [a, b, c]) await store.keep(one)
    t.is(await store.remove([a.id, 'never there', b.id]), 2)
    t.is(await store.remove([a.id]), 0)
    t.is(await store.remove([]), 0)
    t.deepEqual(await lettersOf(store), [c])
    t.deepEqual(await lettersOf(await reopen()), [c])
  })

  test(`${name}: a letter that was read stays until it is removed, also while others go`, async (t) => {
    const { store } = await open(t)
    const letters = Array.from({ length: contractMaximum }, () => letter())
    for (const one of letters) await store.keep(one)
    const read: string[] = []
    for await (const { id } of store.letters()) {
      read.push(id)
      t.is(await store.remove([id]), 1)
    }
    t.deepEqual(
      read,
      letters.map(({ id }) => id),
    )
    t.deepEqual(await lettersOf(store), [])
  })

  test(`${name}: a letter that a later release has written hides no other one, is said to be there, and can be removed`, async (t) => {
    const { store, plant } = await open(t)
    const [one, two] = [letter(), letter()]
    await store.keep(one)
    await store.keep(two)
    const later = [`${one.id}-later`, '0-later']
    for (const id of later) await plant(id, Buffer.from('{"mqttasgi":"dead letter","version":99}\n'))
    const seen: DeadLetter[] = []
    const reading = async (): Promise<void> => {
      for await (const each of store.letters()) seen.push(each)
    }
    await t.throwsAsync(reading(), { code: 'ERR_DEAD_LETTER_UNREADABLE' })
    t.deepEqual(seen, [one, two])
    t.is(await store.remove(later), 2)
    t.deepEqual(await lettersOf(store), [one, two])
  })

  test(`${name}: a full store takes no more, drops nothing, and takes again when there is room`, async (t) => {
    const { store } = await open(t)
    const letters = Array.from({ length: contractMaximum }, () => letter())
    for (const one of letters) await store.keep(one)
    const more = letter()
    const error = await t.throwsAsync(store.keep(more), { instanceOf: MqttasgiError })
    t.is(error.code, 'ERR_DEAD_LETTERS_FULL')
    t.deepEqual(await lettersOf(store), letters)
    await store.remove([letters[2]?.id ?? ''])
    await store.keep(more)
    t.is((await lettersOf(store)).length, contractMaximum)
  })
}

/** All letters of an archive. */
export async function lettersOf(archive: DeadLetterArchive): Promise<readonly DeadLetter[]> {
  const letters: DeadLetter[] = []
  for await (const one of archive.letters()) letters.push(one)
  return letters
}
