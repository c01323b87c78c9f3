// What is remembered of filters that were given up, where the broker refuses another one for good.
import test, { type ExecutionContext } from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import type { MemoryTransport } from '../../lib/testing/memory-transport.ts'
import type { FakeClock } from '../helpers/fake-clock.ts'
import { Guest } from '../helpers/guest.ts'
import { interest } from '../helpers/interest.ts'
import { turns } from '../helpers/memory-server.ts'
import { stageServer } from '../helpers/staged-server.ts'

const ROUNDS = 50

interface Scene {
  readonly host: Guest
  readonly guest: Guest
  readonly transport: MemoryTransport
  readonly clock: FakeClock
}

/** A late route of the host's is refused each time it is asked for; the guest has nothing yet. */
async function refusing(t: ExecutionContext, protocolVersion: 4 | 5 = 5): Promise<Scene> {
  const host = new Guest('host', ['a/#'])
  const guest = new Guest('guest', [])
  const policy = { retries: 0, protocolVersion, backoff: () => 100 }
  const { clock, server, transport } = stageServer(t, mqttasgi(), { receivers: [host, guest], policy })
  transport.grant = ({ filter, qos }) => (filter === 'secret' ? 0x87 : qos)
  await server.start()
  await turns()
  host.want(interest('a/#'), interest('secret'))
  await t.throwsAsync(server.ready(), { code: 'ERR_SUBSCRIBE_REFUSED' })
  return { host, guest, transport, clock }
}

function identifierOf(transport: MemoryTransport, filter: string): number[] {
  const { identifier } = transport.subscriptions.get(filter)!
  return identifier === undefined ? [] : [identifier]
}

test('for whom filters were asked that nobody wants any more is forgotten', async (t) => {
  const { guest, host, transport } = await refusing(t)
  const given: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    await guest.client!.subscribe(`+/${round}`)
    given.push(...identifierOf(transport, `+/${round}`))
    await guest.client!.unsubscribe(`+/${round}`)
  }
  for (const [round, identifier] of given.entries())
    transport.deliver(`a/${round}`, 'late', { retain: true, subscriptionIdentifiers: [identifier] })
  await turns()
  // Each that was still known would be the guest's, and no one else's.
  t.is(host.seen.length, ROUNDS)
})

for (const protocolVersion of [5, 4] as const) {
  test(`whoever comes back to a filter that it gave up is new there (MQTT ${protocolVersion})`, async (t) => {
    const { clock, guest, transport } = await refusing(t, protocolVersion)
    for (let round = 0; round < ROUNDS; round++) {
      await guest.client!.subscribe('b')
      transport.deliver('b', 'old', { retain: true, subscriptionIdentifiers: identifierOf(transport, 'b') })
      await turns()
      await guest.client!.unsubscribe('b')
      // Without identifiers the round before it is over when nothing more has come for so long.
      clock.advance(1_000)
    }
    t.is(guest.seen.length, ROUNDS)
  })
}

test('whoever comes back to options that it had before is new there', async (t) => {
  const { guest, transport } = await refusing(t)
  for (const noLocal of [false, true, false]) {
    await guest.client!.subscribe('b', { noLocal })
    transport.deliver('b', 'old', { retain: true, subscriptionIdentifiers: identifierOf(transport, 'b') })
    await turns()
  }
  t.deepEqual(guest.seen, ['old', 'old', 'old'])
})

test('what is refused to the host is new to a guest that had it and gave it up', async (t) => {
  const { guest, host, transport } = await refusing(t)
  await guest.client!.subscribe('b', { qos: 0 })
  transport.grant = ({ filter, qos }) => (filter === 'secret' || qos === 1 ? 0x87 : qos)
  host.want(interest('a/#'), interest('secret'), interest('b'))
  await guest.client!.unsubscribe('b')
  transport.grant = ({ qos }) => qos
  await guest.client!.subscribe('b')
  transport.deliver('b', 'old', { retain: true, subscriptionIdentifiers: identifierOf(transport, 'b') })
  await turns()
  t.deepEqual(guest.seen, ['old'])
})

test('whoever asks for other options in vain has had what is retained, and is not new when it is taken back', async (t) => {
  const { guest, transport } = await refusing(t)
  await guest.client!.subscribe('b')
  transport.grant = ({ filter, noLocal, qos }) => (filter === 'secret' || noLocal ? 0x87 : qos)
  transport.calls.length = 0
  await t.throwsAsync(guest.client!.subscribe('b', { noLocal: true }), { code: 'ERR_SUBSCRIBE_REFUSED' })
  await turns()
  t.is(transport.calls.filter((call) => call === 'subscribe b').length, 1)
})
