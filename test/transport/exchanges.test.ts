// The receiving side of QoS 2: what is answered when, what is run again, and what a crash leaves.
import test from 'ava'
import { Exchanges, type Exchanged } from '../../lib/transport/exchanges.ts'
import { SlowStore } from '../helpers/slow-store.ts'

function setup(store?: SlowStore): { exchanges: Exchanges; said: () => string[]; told: () => number } {
  let ready = 0
  const exchanges = new Exchanges(store, () => ready++)
  const said = (): string[] =>
    exchanges
      .take()
      .map(
        ({ packetId, reasonCode, type }) => `${type} ${packetId}${reasonCode === 0 ? '' : ` ${reasonCode}`}`,
      )
  return { exchanges, said, told: () => ready }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function packet(packetId: number, text = 'x', dup = false): Exchanged {
  return { packetId, dup, fingerprint: () => text }
}

test('PUBREC follows the end of the work, PUBCOMP the PUBREL', (t) => {
  const { exchanges, said } = setup()
  t.true(exchanges.isEmpty)
  t.false(exchanges.published(packet(5)))
  t.deepEqual(said(), [])
  exchanges.acknowledge([5])
  t.deepEqual(said(), ['PUBREC 5'])
  t.false(exchanges.isEmpty)
  exchanges.released(5)
  t.deepEqual(said(), ['PUBCOMP 5'])
  t.true(exchanges.isEmpty)
})

test('what is not known is of QoS 1, with its reason code, and in the same order', (t) => {
  const { exchanges, said } = setup()
  exchanges.published(packet(2))
  exchanges.acknowledge([1, 2, 3], new Map([[3, 0x99]]))
  t.deepEqual(said(), ['PUBACK 1', 'PUBREC 2', 'PUBACK 3 153'])
})

test('with a store PUBREC waits until it is kept, and PUBCOMP until it is dropped', async (t) => {
  const store = new SlowStore()
  const { exchanges, said, told } = setup(store)
  exchanges.published(packet(5))
  exchanges.acknowledge([5])
  t.deepEqual(said(), [])
  await store.commit()
  t.is(told(), 1)
  t.deepEqual(said(), ['PUBREC 5'])
  t.deepEqual([...store.durable], [[5, 'x']])
  exchanges.released(5)
  t.deepEqual(said(), [])
  await store.commit()
  t.deepEqual(said(), ['PUBCOMP 5'])
  t.is(store.durable.size, 0)
})

test('PUBRECs keep the order of the acknowledgements, whichever is kept first [MQTT-4.6.0-3]', async (t) => {
  const store = new SlowStore([[2, 'x']])
  const { exchanges, said } = setup(store)
  t.false(exchanges.published(packet(1)))
  t.true(exchanges.published(packet(2, 'x', true)))
  exchanges.acknowledge([1, 2])
  t.deepEqual(said(), [])
  await store.commit()
  t.deepEqual(said(), ['PUBREC 1', 'PUBREC 2'])
})

test('what is done with before its turn is kept already, and said in its turn', async (t) => {
  const store = new SlowStore()
  const { exchanges, said } = setup(store)
  exchanges.published(packet(1))
  exchanges.published(packet(2))
  void exchanges.settled(2)
  void exchanges.settled(3)
  await store.commit()
  t.deepEqual([...store.durable.keys()], [2])
  t.deepEqual(said(), [])
  exchanges.acknowledge([1, 2])
  await store.commit()
  t.deepEqual(said(), ['PUBREC 1', 'PUBREC 2'])
})

test('PUBLISH again while it is in hand is for the server to join', (t) => {
  const { exchanges, said } = setup()
  exchanges.published(packet(5))
  t.false(exchanges.published(packet(5, 'x', true)))
  exchanges.acknowledge([5])
  t.deepEqual(said(), ['PUBREC 5'])
})

test('PUBLISH again behind its PUBREC gets another one, and is not run', (t) => {
  const { exchanges, said } = setup()
  exchanges.published(packet(5))
  exchanges.acknowledge([5])
  said()
  exchanges.disconnected()
  t.true(exchanges.published(packet(5, 'x', true)))
  exchanges.acknowledge([5])
  t.deepEqual(said(), ['PUBREC 5'])
})

test('a message with the packet id of another one that was kept is run: without DUP, or with other bytes', async (t) => {
  for (const other of [packet(5, 'x', false), packet(5, 'y', true)]) {
    const store = new SlowStore([[5, 'x']])
    const { exchanges, said } = setup(store)
    t.false(exchanges.published(other))
    await store.commit()
    t.is(store.durable.size, 0)
    exchanges.acknowledge([5])
    await store.commit()
    t.deepEqual(said(), ['PUBREC 5'])
    t.deepEqual([...store.durable.keys()], [5])
  }
  const { exchanges } = setup()
  exchanges.published(packet(5))
  exchanges.acknowledge([5])
  t.false(exchanges.published(packet(5, 'y', true)))
})

test('a message of QoS 1 with the packet id of one that was kept takes its place', async (t) => {
  const store = new SlowStore([[5, 'x']])
  const { exchanges, said } = setup(store)
  exchanges.passed(4)
  exchanges.passed(5)
  exchanges.acknowledge([5])
  await store.commit()
  t.deepEqual(said(), ['PUBACK 5'])
  t.is(store.durable.size, 0)
  exchanges.published(packet(6))
  exchanges.passed(6)
  exchanges.acknowledge([6])
  await store.commit()
  t.deepEqual(said(), ['PUBREC 6'])
  const inMemory = setup().exchanges
  inMemory.published(packet(7))
  inMemory.acknowledge([7])
  inMemory.passed(7)
  t.true(inMemory.isEmpty)
})

test('after a crash: PUBLISH again is known, PUBREL is answered, and what nobody knows gets 0x92', async (t) => {
  const store = new SlowStore([
    [1, 'x'],
    [2, 'y'],
  ])
  const { exchanges, said } = setup(store)
  await exchanges.connected(true)
  t.true(exchanges.published(packet(1, 'x', true)))
  exchanges.acknowledge([1])
  exchanges.released(2)
  exchanges.released(3)
  await store.commit()
  t.deepEqual(said(), ['PUBREC 1', 'PUBCOMP 3 146', 'PUBCOMP 2'])
})

test('in another session nothing of the one before is known, and messages wait until nothing of it is kept', async (t) => {
  const store = new SlowStore([[1, 'x']])
  const { exchanges, said } = setup(store)
  let connected = false
  const waiting = exchanges.connected(false).then(() => (connected = true))
  await turn()
  t.false(connected)
  await store.commit()
  await waiting
  t.is(store.durable.size, 0)
  t.false(exchanges.published(packet(1, 'x', true)))
  exchanges.disconnected()
  await exchanges.connected(false)
  exchanges.released(1)
  t.deepEqual(said(), ['PUBCOMP 1 146'])
})

test('while a connection is made a crash leaves what is kept in doubt, until CONNACK says that the session goes on', async (t) => {
  const store = new SlowStore([[1, 'x']])
  const { exchanges } = setup(store)
  const doubt = exchanges.connecting()
  t.truthy(doubt)
  await store.commit()
  await doubt
  t.true(store.inDoubt)
  t.is(exchanges.connecting(), doubt)
  t.is(store.waiting, 0)
  const connected = exchanges.connected(true)
  await turn()
  await store.commit()
  await connected
  t.false(store.inDoubt)
  t.true(exchanges.published(packet(1, 'x', true)))
})

test('what is kept is dropped before it is out of doubt, in the process that found another session', async (t) => {
  const store = new SlowStore([[1, 'x']])
  const { exchanges } = setup(store)
  void exchanges.connecting()
  const connected = exchanges.connected(false)
  await store.commit()
  t.true(store.inDoubt)
  t.is(store.durable.size, 0)
  await store.commit()
  await connected
  t.false(store.inDoubt)
})

test('with nothing kept there is nothing to doubt, and without a store nothing to keep it in', async (t) => {
  const { exchanges } = setup(new SlowStore())
  t.is(exchanges.connecting(), undefined)
  await exchanges.connected(true)
  const inMemory = setup().exchanges
  inMemory.published(packet(1))
  inMemory.acknowledge([1])
  t.is(inMemory.connecting(), undefined)
  await inMemory.connected(false)
  t.true(inMemory.isEmpty)
})

test('what is kept after the session has ended does not come back', async (t) => {
  const store = new SlowStore()
  const { exchanges, said } = setup(store)
  exchanges.published(packet(1))
  exchanges.acknowledge([1])
  exchanges.disconnected()
  const waiting = exchanges.connected(false)
  await store.commit()
  await waiting
  t.is(store.durable.size, 0)
  t.true(exchanges.isEmpty)
  t.deepEqual(said(), [])
})

test('what was not said on a connection is not said on the next one', async (t) => {
  const store = new SlowStore()
  const { exchanges, said } = setup(store)
  exchanges.published(packet(1))
  exchanges.acknowledge([1])
  exchanges.published(packet(2))
  exchanges.disconnected()
  await store.commit()
  t.deepEqual(said(), [])
  t.true(exchanges.published(packet(1, 'x', true)))
  t.false(exchanges.published(packet(2, 'x', true)))
  exchanges.acknowledge([1, 2])
  await store.commit()
  t.deepEqual(said(), ['PUBREC 1', 'PUBREC 2'])
})

test('PUBREL again on a new connection is answered once, when nothing is kept any more', async (t) => {
  const store = new SlowStore([[1, 'x']])
  const { exchanges, said } = setup(store)
  exchanges.released(1)
  exchanges.disconnected()
  exchanges.released(1)
  exchanges.released(1)
  await store.commit()
  t.deepEqual(said(), ['PUBCOMP 1'])
})

test('PUBREL whose connection is gone when nothing is kept any more is answered at its repetition', async (t) => {
  const store = new SlowStore([[1, 'x']])
  const { exchanges, said } = setup(store)
  exchanges.released(1)
  exchanges.disconnected()
  await store.commit()
  t.deepEqual(said(), [])
  exchanges.released(1)
  t.deepEqual(said(), ['PUBCOMP 1 146'])
})

test('a message with the packet id of one that is being dropped is another one', async (t) => {
  const store = new SlowStore([[1, 'x']])
  const { exchanges, said } = setup(store)
  exchanges.released(1)
  t.false(exchanges.published(packet(1, 'y')))
  await store.commit()
  t.deepEqual(said(), ['PUBCOMP 1'])
  exchanges.acknowledge([1])
  await store.commit()
  t.deepEqual(said(), ['PUBREC 1'])
})

test('PUBREL for what is in hand, or is not said yet, is answered all the same [MQTT-4.3.3-11]', async (t) => {
  const store = new SlowStore()
  const { exchanges, said } = setup(store)
  exchanges.published(packet(1))
  exchanges.released(1)
  t.deepEqual(said(), ['PUBCOMP 1'])
  exchanges.acknowledge([1])
  exchanges.released(1)
  await store.commit()
  t.deepEqual(said(), ['PUBREC 1', 'PUBCOMP 1'])
  t.true(exchanges.isEmpty)
})

test('a refusal ends the exchange: nothing is kept, and PUBREC waits until nothing is', async (t) => {
  const store = new SlowStore()
  const { exchanges, said } = setup(store)
  exchanges.published(packet(1))
  exchanges.published(packet(2))
  void exchanges.settled(2)
  const codes = new Map([
    [1, 0x99],
    [2, 0x83],
  ])
  exchanges.acknowledge([1, 2], codes)
  t.deepEqual(said(), ['PUBREC 1 153'])
  await store.commit()
  t.deepEqual(said(), ['PUBREC 2 131'])
  t.true(exchanges.isEmpty)
  t.is(store.durable.size, 0)
})

test('idle() resolves when all that is done with is kept', async (t) => {
  const store = new SlowStore()
  const { exchanges, said } = setup(store)
  await exchanges.idle()
  exchanges.published(packet(1))
  exchanges.published(packet(2))
  exchanges.acknowledge([1, 2])
  let idle = false
  const waiting = exchanges.idle().then(() => (idle = true))
  await turn()
  t.false(idle)
  await store.commit()
  await waiting
  t.deepEqual(said(), ['PUBREC 1', 'PUBREC 2'])
})

test('of what comes again while it is about to be kept it is said when that is done', async (t) => {
  const store = new SlowStore()
  const { exchanges } = setup(store)
  exchanges.published(packet(1))
  void exchanges.settled(1)
  exchanges.disconnected()
  t.true(exchanges.published(packet(1, 'x', true)))
  let isKept = false
  const kept = exchanges.settled(1)?.then(() => (isKept = true))
  await Promise.resolve()
  t.false(isKept)
  t.truthy(kept)
  await store.commit()
  await kept
  t.is(exchanges.settled(1), undefined)
})
