// Ten minutes of messages over a connection that is cut in every way, and consumers of one group that take turns in dying.
import { mosquittoPath } from '../helpers/mosquitto.ts'
import type { Victim } from '../kill/victims.ts'
import { flow, type Flowed, type Scene } from './flow.ts'
import {
  faults,
  inMebibytes,
  mebibyte,
  pause,
  resources,
  type Figures,
  type Soak,
  type SoakResult,
} from './soak.ts'

function needsMosquitto(): string | undefined {
  return mosquittoPath() === undefined ? 'mosquitto' : undefined
}

/** Cut with FIN, cut with RST, gone silent for a second, slow, in single bytes. */
const disturbances: readonly ((scene: Scene) => Promise<void>)[] = [
  async ({ proxy }) => proxy.cut(),
  async ({ proxy }) => proxy.reset(),
  async ({ proxy }) => {
    proxy.set('both', { type: 'swallow' })
    await pause(1_000)
    // What was swallowed is missing: such a connection can only be given up.
    proxy.reset()
    proxy.set('both', { type: 'pass' })
  },
  async ({ proxy }) => {
    proxy.set('both', { type: 'delay', ms: 100 })
    await pause(2_000)
    proxy.set('both', { type: 'pass' })
  },
  async ({ proxy }) => {
    proxy.set('down', { type: 'chunk', bytes: 7 })
    await pause(2_000)
    proxy.set('down', { type: 'pass' })
  },
]

export const mixed: Soak = {
  name: 'mixed',
  about: '200 messages a second over a connection that is cut, silent, slow or in pieces every three seconds',
  lacks: needsMosquitto,
  run: async ({ minutes }) => {
    let figures: Figures = {}
    let growth = 0
    const result = await flow({
      seconds: minutes * 60,
      perSecond: 200,
      act: async (scene, isOver) => {
        // An RST can be lost like any packet: then only a ping tells that the link is dead.
        const { pid } = await scene.consumer('mixed', { keepalive: 5 })
        let warm: Awaited<ReturnType<typeof resources>> | undefined
        let disturbed = 0
        while (!isOver()) {
          await pause(3_000)
          await disturbances[disturbed % disturbances.length]?.(scene)
          if (++disturbed === 5) warm = await resources(pid)
        }
        await pause(2_000)
        const last = await resources(pid)
        growth = last.rss - (warm ?? last).rss
        figures = {
          disturbances: disturbed,
          'RSS MiB': inMebibytes(last.rss),
          'RSS growth MiB': inMebibytes(growth),
          'RSS growth MiB/min': Math.round((growth / mebibyte / minutes) * 100) / 100,
          'descriptors before': warm?.descriptors ?? 0,
          'descriptors after': last.descriptors,
        }
      },
    })
    return {
      figures: { ...result.account, ...figures },
      faults: [...flowFaults(result), ...faults({ 'RSS grows by less than 64 MiB': growth < 64 * mebibyte })],
    }
  },
}

/** Of every flow: nothing is lost, and no rule was broken on the wire. */
export function flowFaults({ account: { lost, unexpected }, violations }: Flowed): string[] {
  const isKept = { 'nothing is lost': lost === 0, 'nothing came that was not published': unexpected === 0 }
  return [...faults(isKept), ...violations]
}

const MEMBERS = 3

/** One after the other: stopped in peace and back, then killed and back. */
async function rolling(scene: Scene, isOver: () => boolean): Promise<number> {
  const start = (member: number): Promise<Victim> => scene.consumer(`member-${member}`, { share: 'g' })
  const members: Victim[] = []
  for (let member = 0; member < MEMBERS; member++) members.push(await start(member))
  let restarts = 0
  for (; !isOver(); restarts++) {
    await pause(3_000)
    const member = restarts % MEMBERS
    const old = members[member]
    if (Math.floor(restarts / MEMBERS) % 2 === 0) await old?.stop()
    else await old?.kill()
    members[member] = await start(member)
  }
  return restarts
}

export const group: Soak = {
  name: 'group',
  about:
    'a group of three under 1,000 messages a second for a minute, each member restarted in turn, in peace or not',
  lacks: needsMosquitto,
  run: async ({ minutes }): Promise<SoakResult> => {
    let restarts = 0
    const result = await flow({
      seconds: Math.min(60, minutes * 60),
      perSecond: 1_000,
      act: async (scene, isOver) => {
        restarts = await rolling(scene, isOver)
      },
    })
    return { figures: { ...result.account, restarts }, faults: flowFaults(result) }
  },
}
