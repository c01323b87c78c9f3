// Processes at one lock, in memory: every order in which their calls to the disk can come, and a death at any of them.
import type { LockDisk, LockSteps } from '../../lib/durable/lock-rule.ts'

/** With the call by which locks were taken away once: what stood in the file, which is gone. */
export interface SceneDisk extends LockDisk {
  moveAway(name: string): string | undefined
}

/** What a scene lets its processes do. */
export interface LockActs {
  readonly take: (disk: SceneDisk, text: string) => LockSteps<string | undefined>
  readonly release: (disk: SceneDisk, text: string) => LockSteps<void>
}

type Phase = 'taking' | 'holding' | 'released' | 'refused' | 'dead'

interface Standing {
  readonly phase: Phase
  readonly turns: number
  /** All it was answered in these turns: with that it is known where in its code it stands. */
  readonly answers: readonly unknown[]
}

/** A moment: what is in the folder, how far each process is, and by which moves it has come to this. */
export interface LockScene {
  readonly files: ReadonlyMap<string, string>
  readonly processes: readonly Standing[]
  readonly deathsLeft: number
  readonly way: string
}

/** A dead process has left its lock, and so many others come and want it. */
export function sceneOf(count: number, deathsLeft: number): LockScene {
  const processes = Array.from({ length: count }, () => begun('taking'))
  return { files: new Map([['lock', 'long dead']]), processes, deathsLeft, way: '' }
}

/** One more comes, as the only one who still moves, until it has had the lock or was refused it. */
export function enteredAlone(acts: LockActs, { processes, ...rest }: LockScene): LockScene {
  const at = processes.length
  let scene: LockScene = { ...rest, processes: [...processes, begun('taking')] }
  while (isMoving(scene.processes[at])) scene = turned(acts, scene, at)
  return scene
}

/** The first one has come alone, and has died after so many turns; undefined when it needed fewer. */
export function diedAlone(acts: LockActs, scene: LockScene, turns: number): LockScene | undefined {
  let after = scene
  for (let turn = 0; turn < turns; turn++) {
    if (!isMoving(after.processes[0])) return undefined
    after = turned(acts, after, 0)
  }
  return isMoving(after.processes[0]) ? { ...died(after, 0), deathsLeft: scene.deathsLeft } : undefined
}

export function countOf({ processes }: LockScene, phase: Phase): number {
  return processes.filter((one) => one.phase === phase).length
}

/** All moments that may follow. */
function following(acts: LockActs, scene: LockScene): readonly LockScene[] {
  // They are all alike, so those who have not begun begin in their order.
  const fresh = scene.processes.findIndex(({ phase, turns }) => phase === 'taking' && turns === 0)
  const moving = scene.processes.flatMap((one, at) =>
    isMoving(one) && (fresh === -1 || at <= fresh) ? [at] : [],
  )
  const turns = moving.map((at) => turned(acts, scene, at))
  if (scene.deathsLeft === 0) return turns
  return [...turns, ...moving.filter((at) => at !== fresh).map((at) => died(scene, at))]
}

/** Looks at every moment that can come; ends with the first fault, and the moves that lead to it. */
export function inAllWays(
  acts: LockActs,
  first: LockScene,
  faultOf: (scene: LockScene, isLast: boolean) => string | undefined,
): { readonly scenes: number; readonly fault: string | undefined } {
  const seen = new Set<string>()
  const open = [first]
  for (let scene = open.pop(); scene !== undefined; scene = open.pop()) {
    const key = keyOf(scene)
    if (seen.has(key)) continue
    seen.add(key)
    const next = following(acts, scene)
    const fault = faultOf(scene, next.length === 0)
    if (fault !== undefined) return { scenes: seen.size, fault: `${fault}:${scene.way}` }
    open.push(...next)
  }
  return { scenes: seen.size, fault: undefined }
}

function begun(phase: Phase): Standing {
  return { phase, turns: 0, answers: [] }
}

function isMoving(process: Standing | undefined): boolean {
  return process?.phase === 'taking' || process?.phase === 'holding'
}

function died(scene: LockScene, at: number): LockScene {
  const processes = scene.processes.with(at, begun('dead'))
  return { ...scene, processes, deathsLeft: scene.deathsLeft - 1, way: `${scene.way} ${at} dies` }
}

function turned(acts: LockActs, scene: LockScene, at: number): LockScene {
  const { phase, turns, answers } = scene.processes[at] ?? begun('dead')
  const files = new Map(scene.files)
  const heard: unknown[] = []
  const disk = diskOf(scene, files, (live) => {
    // What it has done before is done, and only told to it again.
    const answer = heard.length < answers.length ? answers[heard.length] : live()
    heard.push(answer)
    return answer
  })
  const act = phase === 'taking' ? acts.take : acts.release
  const steps: LockSteps<string | undefined | void> = act(disk, `process ${at}`)
  for (let turn = 0; turn <= turns; turn++) steps.next()
  const { done, value } = steps.next()
  const now = done === true ? begun(phaseAfter(phase, value)) : { phase, turns: turns + 1, answers: heard }
  return { ...scene, files, processes: scene.processes.with(at, now), way: `${scene.way} ${at}` }
}

function phaseAfter(phase: Phase, other: string | undefined | void): Phase {
  if (phase === 'holding') return 'released'
  return other === undefined ? 'holding' : 'refused'
}

function diskOf(
  { processes }: LockScene,
  files: Map<string, string>,
  told: (live: () => unknown) => unknown,
): SceneDisk {
  const place = (name: string, text: string): boolean => !files.has(name) && files.set(name, text).has(name)
  const moveAway = (name: string): string | undefined => {
    const text = files.get(name)
    files.delete(name)
    return text
  }
  const isHeld = (text: string): boolean => isMoving(processes[Number(/^process (\d+)$/.exec(text)?.[1])])
  return {
    place: (name, text) => told(() => place(name, text)) === true,
    read: (name) => told(() => files.get(name)) as string | undefined,
    remove: (name) => void told(() => files.delete(name)),
    list: () => told(() => [...files.keys()]) as readonly string[],
    moveAway: (name) => told(() => moveAway(name)) as string | undefined,
    isHeld: (text) => told(() => isHeld(text)) === true,
  }
}

function keyOf({ files, processes, deathsLeft }: LockScene): string {
  const sorted = [...files].sort(([one], [other]) => (one < other ? -1 : 1))
  return JSON.stringify([sorted, processes, deathsLeft])
}
