// The twelve facts about MQTT and its libraries that shaped the design, each held against a broker that forgives nothing.
import { Deferred } from '../../lib/core/deferred.ts'
import { mqttasgi, MqttasgiError, Reject } from '../../lib/index.ts'
import { newClientId } from '../integration/serving.ts'
import { Tally, within } from '../integration/tally.ts'
import { finding, settled } from './strict-scene.ts'

finding(
  '1: MQTT has no requeue: a message that failed is tried again here, and acknowledged once, at the end',
  async (t, { broker, serve }) => {
    const runs: number[] = []
    const app = mqttasgi()
    app.topic('a', { retry: { attempts: 3, minDelayMs: 1, maxDelayMs: 2 } }, (ctx) => {
      runs.push(broker.settled.length)
      if (ctx.attempt < 3) throw new Error('not yet')
    })
    await serve(app)
    broker.publish('a', 'x')
    await settled(broker, 1)
    t.deepEqual(runs, [0, 0, 0])
    t.is(broker.links.length, 1)
  },
)

finding(
  '2: acknowledgements leave in the order of arrival, whatever order the handlers end in',
  async (t, { broker, serve }) => {
    const app = mqttasgi()
    app.topic('a/+i', async () => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20))
    })
    await serve(app, { maxInFlight: 64 })
    for (let i = 0; i < 500; i++) broker.publish(`a/${i}`, '')
    await settled(broker, 500)
    t.deepEqual(
      broker.settled.map(({ topic }) => topic),
      Array.from({ length: 500 }, (_, i) => `a/${i}`),
    )
  },
)

finding(
  '3: an acknowledgement dies with its connection, for on the next one its id belongs to another message',
  async (t, { broker, clientId, serve }) => {
    const [old, young] = [new Deferred(), new Deferred()]
    const entered = new Tally()
    const app = mqttasgi()
    app.topic('a/+name', async (ctx) => {
      entered.add(ctx.params.name)
      await (ctx.params.name === 'old' ? old : young).promise
    })
    const server = await serve(app)
    broker.publish('a/old', '')
    await entered.untilTotal(1)
    // As after a restart without its sessions: the next message gets the first packet id again.
    broker.forget()
    await broker.until(() => broker.subscriptions.filters(clientId).length > 0)
    broker.publish('a/young', '')
    await entered.untilTotal(2)
    old.resolve()
    await server.publish('any', 'thing that goes there and back after it')
    t.is(broker.unsettled(clientId), 1)
    young.resolve()
    await settled(broker, 1)
    t.deepEqual(
      broker.settled.map(({ topic }) => topic),
      ['a/young'],
    )
  },
)

finding(
  '4: a handler that is slower than the keepalive costs no connection and is started once',
  async (t, { broker, serve }) => {
    const entered = new Tally()
    const app = mqttasgi()
    app.topic('a/+i', async (ctx) => {
      entered.add(ctx.params.i)
      await new Promise((resolve) => setTimeout(resolve, 5_000))
    })
    await serve(app, { maxInFlight: 1, broker: { keepalive: 2 } })
    broker.publish('a/1', '')
    broker.publish('a/2', '')
    await settled(broker, 2)
    t.is(broker.links.length, 1)
    t.deepEqual(entered.repeated(), [])
  },
)

finding(
  '5: all of the window are handled beside a first one that takes its time, and acknowledged behind it',
  async (t, { broker, serve }) => {
    const first = new Deferred()
    const handled = new Tally()
    const app = mqttasgi()
    app.topic('a/+i', async (ctx) => {
      if (ctx.params.i === '0') await first.promise
      handled.add(ctx.params.i)
    })
    await serve(app, { maxInFlight: 500 })
    for (let i = 0; i < 500; i++) broker.publish(`a/${i}`, '')
    await handled.untilDistinct(499)
    t.is(broker.settled.length, 0)
    first.resolve()
    await settled(broker, 500)
  },
)

finding(
  '6: QoS 2 is asked for as QoS 1, so that a crash before the handler has ended loses nothing',
  async (t, { broker, clientId, serve }) => {
    const entered = new Tally()
    const app = mqttasgi().topic('a', { qos: 2 }, async () => {
      entered.add('a')
      await new Promise(() => {})
    })
    const server = await serve(app)
    broker.publish('a', 'x', { qos: 2 })
    await entered.untilTotal(1)
    t.is(broker.unsettled(clientId), 1)
    // Gone without a word, as in a crash.
    await server.stop({ drainTimeoutMs: 0 })
    await serve(app)
    await entered.untilTotal(2)
    t.is(broker.settled.length, 0)
  },
)

finding(
  '7: a handler that rejects and one that throws are the same, and the next message is handled',
  async (t, { broker, serve }) => {
    const handled = new Tally()
    const app = mqttasgi()
    const options = { retry: { attempts: 1 } }
    app.topic('rejects', options, () => Promise.reject(new Error('no')))
    app.topic('throws', options, () => {
      throw new Error('no')
    })
    app.topic('next', () => handled.add('next'))
    const server = await serve(app, { deadLetter: { store: 'none' } })
    for (const topic of ['rejects', 'throws', 'next']) broker.publish(topic, '')
    await handled.untilTotal(1)
    await settled(broker, 3)
    t.is(server.counters.failed, 2)
    t.is(broker.links.length, 1)
  },
)

finding(
  '8: a dead letter on a topic that nobody has subscribed to is not kept, and its message not acknowledged',
  async (t, { broker, clientId, serve }) => {
    const tried = new Tally()
    const app = mqttasgi().topic('a', () => {
      tried.add('a')
      throw new Reject('never')
    })
    const server = await serve(app, { deadLetter: { store: 'topic', topic: 'dead' } })
    broker.publish('a', 'x')
    await tried.untilTotal(1)
    const isUnready = async (): Promise<void> => {
      while (server.health.ready) await new Promise((resolve) => setImmediate(resolve))
    }
    await within(5_000, 'not ready', isUnready())
    t.is(broker.unsettled(clientId), 1)
    // As soon as somebody listens the letter has a place, and the message is done with.
    broker.subscriptions.add('somebody', { topic: 'dead', qos: 1 }, 1, undefined)
    await settled(broker, 1)
    t.is(tried.total, 1)
  },
)

finding(
  '9: a publication above the limit of the broker rejects, and the connection stays for all others',
  async (t, { broker, serve }) => {
    const server = await serve(mqttasgi())
    await t.throwsAsync(server.publish('a', 'x'.repeat(2_000), { qos: 1 }), { instanceOf: MqttasgiError })
    t.deepEqual(await server.publish('a', 'small', { qos: 1 }), { reasonCode: 0x10 })
    t.is(broker.links.length, 1)
  },
  { maximumPacketSize: 1_000 },
)

finding(
  '10: where the broker sends more than it may, no more than the window run',
  async (t, { broker, serve }) => {
    let [running, most] = [0, 0]
    const app = mqttasgi()
    app.topic('a/+i', async () => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setTimeout(resolve, 5))
      running--
    })
    await serve(app, { maxInFlight: 8 })
    for (let i = 0; i < 300; i++) broker.publish(`a/${i}`, '')
    await settled(broker, 300)
    t.is(most, 8)
  },
  { faults: { ignoresWindow: true } },
)

finding(
  '11: a stop with much unread loses none of the acknowledgements that were written before',
  async (t, { broker, clientId, serve }) => {
    const all = new Deferred()
    const handled = new Tally()
    const app = mqttasgi().topic('a/+i', async (ctx) => {
      handled.add(ctx.params.i)
      await all.promise
    })
    // What does not fit stays in the kernel, where closing carelessly makes it an RST.
    const server = await serve(app, { maxInFlight: 50, maxInFlightBytes: 1_024 })
    for (let i = 0; i < 300; i++) broker.publish(`a/${i}`, 'x'.repeat(10_000))
    await handled.untilTotal(50)
    all.resolve()
    t.deepEqual(await server.stop(), { clean: true, unsettled: 0 })
    t.is(broker.settled.length, handled.total)
    t.is(broker.unsettled(clientId), 300 - handled.total)
  },
  { faults: { ignoresWindow: true } },
)

finding(
  '12: a member that leaves a group for good gives up its share first, and finishes what it has',
  async (t, { broker, clientId, serve }) => {
    const handled = new Tally()
    const app = mqttasgi().topic('a/+i', { share: 'g' }, async (ctx) => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      handled.add(ctx.params.i)
    })
    const leaving = await serve(app, { maxInFlight: 4 })
    const other = newClientId()
    await serve(app, { broker: { clientId: other } })
    for (let i = 0; i < 60; i++) broker.publish(`a/${i}`, '')
    t.deepEqual(await leaving.stop({ leave: true }), { clean: true, unsettled: 0 })
    for (let i = 60; i < 80; i++) broker.publish(`a/${i}`, '')
    await handled.untilDistinct(80)
    t.deepEqual(handled.repeated(), [])
    t.is(broker.unsettled(clientId), 0)
    t.deepEqual(broker.subscriptions.filters(clientId), [])
  },
)
