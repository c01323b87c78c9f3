// Messages of QoS 2 on the wire: PUBREC when we say so, PUBCOMP for each PUBREL, and what a new connection finds.
import test from 'ava'
import { SlowStore } from '../helpers/slow-store.ts'
import { message, type Script } from '../helpers/scripted-broker.ts'
import { setupScripted } from '../helpers/transport-setup.ts'

const ids = (packets: readonly { readonly messageId?: number | undefined }[]): (number | undefined)[] =>
  packets.map(({ messageId }) => messageId)

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const resumed: Script = { connect: (link) => link.welcome({ sessionPresent: true }) }
const q2 = (messageId: number, payload = `${messageId}`, dup = false): ReturnType<typeof message> =>
  message('q2', payload, { qos: 2, messageId, dup })

for (const version of [4, 5] as const) {
  test(`MQTT ${version}: a message arrives with its PUBLISH, once, and PUBREC is ours to say`, async (t) => {
    const { broker, connect, recorder, transport } = await setupScripted(t, {}, { receiveMaximum: 2 })
    await connect(version)
    const link = await broker.link()
    link.send(q2(1), q2(2), message('q1', 'x', { qos: 1, messageId: 3 }), q2(4))
    await recorder.nth(recorder.arrivals, 4)
    t.deepEqual(
      recorder.arrivals.map(({ packetId, qos }) => [packetId, qos]),
      [
        [1, 2],
        [2, 2],
        [3, 1],
        [4, 2],
      ],
    )
    t.is(link.all('pubrec').length, 0)
    t.true(transport.acknowledge([1, 2, 3, 4]))
    await link.until(() => link.all('pubcomp')[2])
    t.deepEqual(ids(link.all('pubrec')), [1, 2, 4])
    t.deepEqual(ids(link.all('pubcomp')), [1, 2, 4])
    t.deepEqual(link.acked(), [3])
  })
}

test('reason codes are said on MQTT 5, and left out on 3.1.1', async (t) => {
  for (const version of [4, 5] as const) {
    const { broker, connect, recorder, transport } = await setupScripted(t)
    await connect(version)
    const link = await broker.link()
    link.send(q2(1), message('q1', 'x', { qos: 1, messageId: 2 }))
    await recorder.nth(recorder.arrivals, 2)
    const codes = new Map([
      [1, 0x99],
      [2, 0x99],
    ])
    t.true(transport.acknowledge([1, 2], codes))
    const pubrec = await link.next('pubrec')
    const puback = await link.next('puback')
    t.deepEqual([pubrec.reasonCode, puback.reasonCode], version === 5 ? [0x99, 0x99] : [undefined, undefined])
    await transport.close(500)
  }
})

test('PUBREL for what nobody knows gets PUBCOMP, with 0x92 on MQTT 5', async (t) => {
  const { broker, connect } = await setupScripted(t, resumed)
  await connect(5)
  const link = await broker.link()
  link.send({ cmd: 'pubrel', messageId: 9 })
  t.like(await link.next('pubcomp'), { messageId: 9, reasonCode: 0x92 })
})

test('many PUBRELs in one chunk are answered in one write', async (t) => {
  const { broker, connect } = await setupScripted(t, resumed)
  await connect(4)
  const link = await broker.link()
  const before = link.chunks.length
  link.send(...[1, 2, 3, 4, 5].map((messageId) => ({ cmd: 'pubrel' as const, messageId })))
  await link.until(() => link.all('pubcomp')[4])
  t.is(link.chunks.length, before + 1)
})

test('what comes right behind CONNACK waits for it, in order', async (t) => {
  const script: Script = {
    connect: (link) => {
      const connack = { cmd: 'connack', sessionPresent: true, reasonCode: 0 } as const
      link.send(connack, { cmd: 'pubrel', messageId: 7 }, q2(8, 'x', true))
    },
  }
  const store = new SlowStore([[7, 'kept before']])
  const { broker, recorder, transport } = await setupScripted(t, script, { exchanges: store })
  transport.connect(5)
  while (recorder.infos.length === 0) await store.commit()
  const link = await broker.link()
  await recorder.nth(recorder.arrivals, 1)
  t.deepEqual(recorder.log, ['connected', 'arrived'])
  await transport.close(50)
  // The store has not forgotten it yet.
  t.deepEqual(link.all('pubcomp'), [])
})

test('after a PUBREC that was lost with its connection the message is not run again', async (t) => {
  const script: Script = { ...resumed, pubrec: () => {} }
  const { broker, connect, recorder, transport } = await setupScripted(t, script)
  await connect(5)
  const first = await broker.link()
  first.send(q2(1), q2(2))
  await recorder.nth(recorder.arrivals, 2)
  transport.acknowledge([1])
  await first.next('pubrec')
  first.stream.destroy()
  await recorder.nth(recorder.failures, 1)
  await connect(5)
  const second = await broker.link()
  second.send(q2(1, '1', true), q2(2, '2', true))
  await recorder.nth(recorder.arrivals, 4)
  t.deepEqual(
    recorder.arrivals.map(({ settled }) => settled),
    [false, false, true, false],
  )
  transport.acknowledge([1, 2])
  await second.until(() => second.all('pubrec')[1])
  t.deepEqual(ids(second.all('pubrec')), [1, 2])
})

test('another session knows nothing of the exchanges of the one before, and is not told of before that holds', async (t) => {
  const store = new SlowStore([[1, 'kept before']])
  const { broker, recorder, transport } = await setupScripted(t, {}, { exchanges: store })
  transport.connect(5)
  t.throws(() => transport.connect(5), { instanceOf: TypeError })
  t.is(broker.links.length, 0)
  await store.commit()
  const link = await broker.link()
  await link.next('connect')
  for (const inDoubt of [true, false]) {
    while (store.waiting === 0) await turn()
    t.deepEqual(recorder.log, [])
    await store.commit()
    t.is(store.inDoubt, inDoubt)
  }
  await recorder.nth(recorder.infos, 1)
  link.send({ cmd: 'pubrel', messageId: 1 })
  t.like(await link.next('pubcomp'), { messageId: 1, reasonCode: 0x92 })
})

test('a store that does not take what must be noted behind CONNACK ends the attempt in its time', async (t) => {
  const store = new SlowStore([[1, 'kept before']])
  const options = { exchanges: store, connectTimeoutMs: 200 }
  const { broker, recorder, transport } = await setupScripted(t, {}, options)
  transport.connect(5)
  await store.commit()
  const link = await broker.link()
  await link.next('connect')
  while (store.waiting === 0) await turn()
  link.send(q2(2))
  const failure = await recorder.nth(recorder.failures, 1)
  t.is(failure.type, 'timeout')
  t.regex(failure.message, /has answered, but what must be noted on disk .* 200 ms/)
  t.deepEqual(recorder.infos, [])
  t.deepEqual(recorder.arrivals, [])
})

test('close() while the store is waited for ends in closed(), and nothing is connected', async (t) => {
  const store = new SlowStore([[1, 'kept before']])
  const { broker, recorder, transport } = await setupScripted(t, {}, { exchanges: store })
  transport.connect(5)
  await transport.close(500)
  t.deepEqual(recorder.log, [])
  await store.commit()
  await recorder.nth(recorder.failures, 1)
  t.is(broker.links.length, 0)
})

test('with a store PUBREC waits for it, and DISCONNECT for PUBREC', async (t) => {
  const store = new SlowStore()
  const { broker, connect, recorder, transport } = await setupScripted(t, {}, { exchanges: store })
  await connect(5)
  const link = await broker.link()
  link.send(q2(1), q2(2))
  await recorder.nth(recorder.arrivals, 2)
  void transport.settled(1)
  t.is(store.waiting, 1)
  transport.acknowledge([1, 2])
  const closing = transport.close(10_000)
  t.false(transport.acknowledge([2]))
  await store.commit()
  await closing
  t.deepEqual(
    link.packets.map(({ cmd }) => cmd),
    ['connect', 'pubrec', 'pubrec', 'disconnect'],
  )
  t.is(store.durable.size, 2)
  t.true(store.closed)
})

test('close() does not wait for a store longer than it may', async (t) => {
  const { broker, connect, recorder, transport } = await setupScripted(t, {}, { exchanges: new SlowStore() })
  await connect(5)
  const link = await broker.link()
  link.send(q2(1))
  await recorder.nth(recorder.arrivals, 1)
  transport.acknowledge([1])
  await transport.close(50)
  t.deepEqual(
    link.packets.map(({ cmd }) => cmd),
    ['connect', 'disconnect'],
  )
})

test('an oversized message is skipped and acknowledged like any other', async (t) => {
  const { broker, connect, recorder, transport } = await setupScripted(t, {}, { maxPacketBytes: 100 })
  await connect(5)
  const link = await broker.link()
  link.send(q2(1, 'x'.repeat(200)), q2(2))
  await recorder.nth(recorder.arrivals, 1)
  t.is(recorder.skips[0]?.packetId, 1)
  transport.acknowledge([1, 2])
  await link.until(() => link.all('pubcomp')[1])
  t.deepEqual(ids(link.all('pubrec')), [1, 2])
})

test('what ails the store is told', async (t) => {
  const store = new SlowStore()
  const { transport } = await setupScripted(t, {}, { exchanges: store })
  t.is(transport.fault, undefined)
  store.fault = new Error('no space')
  t.is(transport.fault, store.fault)
  const without = await setupScripted(t)
  t.is(without.transport.fault, undefined)
})
