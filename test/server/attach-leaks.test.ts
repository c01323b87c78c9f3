// A thousand receivers that came and went are gone from the memory: whatever still knew one would keep it there.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import type { Server } from '../../lib/server/server.ts'
import type { MemoryTransport } from '../../lib/testing/memory-transport.ts'
import { Guest } from '../helpers/guest.ts'
import { interest } from '../helpers/interest.ts'
import { turns } from '../helpers/memory-server.ts'
import { stageServer } from '../helpers/staged-server.ts'

setFlagsFromString('--expose-gc')
const collectGarbage: unknown = runInNewContext('gc')

const ROUNDS = 1_000
// What is held by the frame of the last round, or was looked at last.
const FEW = 5

async function comeAndGo(server: Server, transport: MemoryTransport, round: number): Promise<WeakRef<Guest>> {
  const shed = interest(`shed/${round}`, { sheds: true })
  const guest = new Guest(`guest ${round}`, [`own/${round}`, 'a/1', shed], {
    connect: (client) => client.subscribe(`by/hand/${round}`),
  })
  await server.attach(guest)
  transport.deliver(`own/${round}`, 'x')
  transport.deliver(`shed/${round}`, 'x')
  transport.deliver('a/1', 'old', { retain: true })
  await turns()
  await server.detach(guest, { keepSubscriptions: round % 2 === 0 })
  // One whose place was kept gives it up.
  await server.detach(guest)
  return new WeakRef(guest)
}

for (const protocolVersion of [5, 4] as const) {
  test(`of a thousand that came and went on one connection nothing is left (MQTT ${protocolVersion})`, async (t) => {
    t.timeout(60_000)
    if (typeof collectGarbage !== 'function') throw new TypeError('There is no gc().')
    const policy = { retries: 0, protocolVersion, backoff: () => 100 }
    const host = new Guest('host', ['a/#'])
    const { clock, server, transport } = stageServer(t, mqttasgi(), { receivers: [host], policy })
    await server.start()
    const guests: WeakRef<Guest>[] = []
    for (let round = 0; round < ROUNDS; round++) {
      guests.push(await comeAndGo(server, transport, round))
      clock.advance(1_000)
    }
    transport.deliver('a/1', 'last')
    await turns()
    collectGarbage()
    await turns()
    collectGarbage()
    const left = guests.filter((guest) => guest.deref() !== undefined)
    t.true(left.length <= FEW, `${left.length} are left`)
    t.deepEqual([...transport.subscriptions.keys()], ['a/#'])
    t.is(host.listeners, 1)
    t.is(clock.timers, 0)
    t.is(host.seen.at(-1), 'last')
  })
}
