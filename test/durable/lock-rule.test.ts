// The rule of the lock, in every order in which the calls of several processes can come, with deaths in between.
import test from 'ava'
import { LOCK, type LockDisk, type LockSteps, releaseLock, takeLock } from '../../lib/durable/lock-rule.ts'
import {
  countOf,
  diedAlone,
  enteredAlone,
  inAllWays,
  type LockActs,
  type LockScene,
  type SceneDisk,
  sceneOf,
} from '../helpers/lock-scene.ts'

const rule: LockActs = { take: takeLock, release: releaseLock }

// As it was once: what is stale is taken aside, and put back when it was somebody's fresh lock.
function* takeAside(disk: SceneDisk, text: string): LockSteps<string | undefined> {
  for (;;) {
    yield
    if (disk.place(LOCK, text)) return undefined
    yield
    const found = disk.read(LOCK)
    if (found === undefined) continue
    if (disk.isHeld(found)) return found
    yield
    const aside = disk.moveAway(LOCK)
    if (aside === found || aside === undefined) continue
    yield
    disk.place(LOCK, aside)
  }
}

function faultOf(scene: LockScene, isLast: boolean): string | undefined {
  const holders = countOf(scene, 'holding')
  if (holders > 1) return `${holders} have it`
  return isLast ? faultAtTheEnd(scene) : undefined
}

// Whatever has happened, the next process gets the lock, and leaves an empty folder.
function faultAtTheEnd(scene: LockScene): string | undefined {
  const got = countOf(scene, 'released')
  if (got === 0 && countOf(scene, 'dead') === 0) return 'nobody got it'
  const next = enteredAlone(rule, scene)
  if (countOf(next, 'released') === got) return 'the next one does not get it'
  return next.files.size > 0 ? `${[...next.files.keys()].join(', ')} stays` : undefined
}

test('of three that find the lock of a dead process never two have it, and one gets it, in whatever order they come', (t) => {
  t.timeout(120_000)
  const { scenes, fault } = inAllWays(rule, sceneOf(3, 0), faultOf)
  t.is(fault, undefined)
  t.log(`${scenes} moments`)
  t.true(scenes > 10_000)
})

test('wherever a process dies over it, never two of those that come then have it, and nothing stays in the folder', (t) => {
  t.timeout(120_000)
  let turns = 0
  for (; ; turns++) {
    const scene = diedAlone(rule, sceneOf(3, 1), turns)
    if (scene === undefined) break
    t.is(inAllWays(rule, scene, faultOf).fault, undefined)
  }
  t.true(turns > 8)
})

test('two have it where a stale lock is taken aside and put back, so the scenes find what they are for', (t) => {
  const { fault } = inAllWays({ take: takeAside, release: releaseLock }, sceneOf(3, 0), faultOf)
  t.regex(fault ?? '', /^2 have it: /)
})

test('a lock that can be neither read nor taken away is not tried for ever', (t) => {
  const stuck: LockDisk = {
    place: (name) => name !== LOCK,
    read: () => undefined,
    remove() {},
    list: () => [],
    isHeld: () => false,
  }
  t.is([...takeLock(stuck, 'me')].length, 21)
  t.is(answerOf(takeLock(stuck, 'me')), '')
  t.is(answerOf(takeLock({ ...stuck, read: () => 'long dead' }, 'me')), 'long dead')
})

function answerOf(steps: LockSteps<string | undefined>): string | undefined {
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}
