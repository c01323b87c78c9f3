// Workers that come and go on a real broker: what they subscribe to comes and goes with them, and nothing else is left.
import { runInNewContext } from 'node:vm'
import { setFlagsFromString } from 'node:v8'
import {
  mqttasgi,
  MqttConsumer,
  type ChannelHandlers,
  type ConnectClient,
  type ConsumerMessage,
  type DisconnectReason,
  type Server,
  type WorkerHandle,
} from '../../lib/index.ts'
import { startMosquitto } from '../helpers/mosquitto.ts'
import { startPublisher, type Publisher } from '../helpers/publisher.ts'
import { turns } from '../helpers/memory-server.ts'
import { recorded } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import type { WireLog } from '../helpers/wire-log.ts'
import { scene } from './scene.ts'
import { servingDirectly } from './serving.ts'
import { Tally, within } from './tally.ts'

const withMosquitto = serverTest('mosquitto')

/** The filters that the broker holds for us, as far as the wire has it. */
function held({ events }: WireLog): Set<string> {
  const filters = new Set<string>()
  for (const event of events) {
    if (event.type !== 'packet') continue
    const { packet } = event
    if (packet.cmd === 'subscribe') for (const { topic } of packet.subscriptions) filters.add(topic)
    if (packet.cmd === 'unsubscribe') for (const topic of packet.unsubscriptions) filters.delete(topic)
  }
  return filters
}

withMosquitto(
  'a worker is spawned by the application, takes its messages, and is gone when it is ended',
  async (t) => {
    const { proxy, publisher, serve } = await scene(t)
    const seen = new Tally()
    const pump = mqttasgi()
    pump.topic('+valve/open', (ctx) =>
      seen.add(`${ctx.scope.appId} ${ctx.params.valve} ${String(ctx.scope.params['litres'])}`),
    )
    const app = mqttasgi()
    app.topic('own', () => {})
    let client: ConnectClient | undefined
    app.onConnect(async (given) => {
      client = given
      await given.spawn('pump-7', pump, { mount: 'pumps/7', params: { litres: 40 } })
    })
    await publisher.publish('pumps/7/main/open', 'now', { retain: true })
    const server = await serve(app)
    // What was retained before it came is for it as well.
    await seen.untilTotal(1)
    await publisher.publish('pumps/7/side/open', '')
    await seen.untilTotal(2)
    t.deepEqual(seen.keys, ['pump-7 main 40', 'pump-7 side 40'])
    t.deepEqual(server.workers(), [{ id: 'pump-7', state: 'running', restarts: 0, inFlight: 0 }])
    await t.throwsAsync(client!.spawn('pump-7', pump), { code: 'ERR_RECEIVER_DUPLICATE' })
    await client!.kill('pump-7')
    t.deepEqual([...held(proxy.log)], ['own'])
    t.deepEqual(server.workers(), [])
    await t.throwsAsync(client!.kill('pump-7'), { code: 'ERR_WORKER_UNKNOWN' })
    await t.throwsAsync(client!.kill('application'), { code: 'ERR_WORKER_MASTER' })
  },
)

withMosquitto('a filter that another one wants as well stays when one of the two is ended', async (t) => {
  const { proxy, publisher, serve } = await scene(t)
  const seen = new Tally()
  const worker = mqttasgi()
  worker.topic('shared/+n', (ctx) => seen.add(ctx.scope.appId))
  const server = await serve(mqttasgi())
  await server.spawn('one', worker)
  await server.spawn('two', worker)
  await server.kill('one')
  t.deepEqual([...held(proxy.log)], ['shared/+'])
  await publisher.publish('shared/1', '')
  await seen.untilTotal(1)
  t.deepEqual(seen.keys, ['two'])
})

withMosquitto(
  'messages for a worker that was ended wait for its successor, where that is asked for',
  async (t) => {
    const { publisher, serve } = await scene(t)
    const seen = new Tally()
    const worker = mqttasgi()
    worker.topic('jobs/+n', (ctx) => seen.add(ctx.params.n))
    const server = await serve(mqttasgi())
    await server.spawn('jobs', worker)
    await server.kill('jobs', { subscriptions: 'keep' })
    await publisher.publish('jobs/1', '')
    await server.spawn('jobs', worker)
    await seen.untilTotal(1)
    await publisher.publish('jobs/2', '')
    await seen.untilTotal(2)
    t.deepEqual(seen.keys, ['1', '2'])
  },
)

withMosquitto(
  'instances of one worker share its messages by topic, each topic in the order it came',
  async (t) => {
    const { publisher, serve } = await scene(t)
    const seen: (readonly [topic: string, instance: number, text: string])[] = []
    const all = new Tally()
    let instances = 0
    class Sorter extends MqttConsumer {
      readonly #instance = ++instances

      override async connect(): Promise<void> {
        await this.subscribe('sort/+')
      }

      override async receive(message: ConsumerMessage): Promise<void> {
        await new Promise((resolve) => setImmediate(resolve))
        seen.push([message.topic, this.#instance, message.text()])
        all.add(`${message.topic} ${message.text()}`)
      }
    }
    const server = await serve(mqttasgi())
    await server.spawn('sorter', Sorter, { instances: 3 })
    t.is(instances, 3)
    for (let i = 0; i < 60; i++) await publisher.publish(`sort/${i % 12}`, String(i))
    await all.untilDistinct(60)
    t.is(seen.length, 60)
    for (let topic = 0; topic < 12; topic++) {
      const own = seen.filter(([name]) => name === `sort/${topic}`)
      t.is(new Set(own.map(([, instance]) => instance)).size, 1)
      t.deepEqual(
        own.map(([, , text]) => Number(text)),
        [0, 12, 24, 36, 48].map((i) => i + topic),
      )
    }
    t.is(new Set(seen.map(([, instance]) => instance)).size, 3)
  },
)

withMosquitto(
  'two servers share the messages of a worker with a group, and each comes to one of them',
  async (t) => {
    const { publisher, serve } = await scene(t)
    const seen = new Tally()
    const worker = mqttasgi()
    worker.topic('+n', (ctx) => seen.add(ctx.params.n))
    for (let i = 0; i < 2; i++) {
      const server = await serve(mqttasgi())
      await server.spawn('jobs', worker, { share: 'crew', mount: 'jobs' })
    }
    await publisher.many(40, (i) => `jobs/${i}`)
    await seen.untilDistinct(40)
    t.deepEqual(seen.repeated(), [])
  },
)

withMosquitto(
  'a consumer that is ended lets its handler end first, and can still publish at its end',
  async (t) => {
    const { publisher, serve } = await scene(t)
    const said: string[] = []
    let release = (): void => {}
    class Slow extends MqttConsumer {
      override async connect(): Promise<void> {
        await this.subscribe('slow')
      }

      override async receive(message: ConsumerMessage): Promise<void> {
        said.push(`begins ${message.text()}`)
        await new Promise<void>((resolve) => (release = resolve))
        said.push('ends')
      }

      override async disconnect({ type }: DisconnectReason): Promise<void> {
        await this.publish('bye', type)
      }
    }
    const app = mqttasgi()
    const bye = new Tally()
    app.topic('bye', (ctx) => bye.add(ctx.text()))
    const server = await serve(app)
    const handle: WorkerHandle = await server.spawn('slow', Slow)
    await publisher.publish('slow', '1')
    await within(
      5_000,
      'it begins',
      until(() => said.length === 1),
    )
    t.is(server.workers()[0]?.inFlight, 1)
    const killed = server.kill('slow')
    t.is(server.workers()[0]?.state, 'stopping')
    release()
    await killed
    await bye.untilTotal(1)
    t.deepEqual([said, bye.keys], [['begins 1', 'ends'], ['killed']])
    t.deepEqual(await handle.ended, { type: 'killed' })
  },
)

withMosquitto(
  'what a worker throws while it begins is told to whoever spawns it, and leaves nothing',
  async (t) => {
    const { proxy, serve } = await scene(t)
    class Broken extends MqttConsumer {
      constructor() {
        super()
        throw new Error('no constructor today')
      }
    }
    class Unable extends MqttConsumer {
      override async connect(): Promise<void> {
        await this.subscribe('unable/#')
        throw new Error('no connection today')
      }
    }
    const server = await serve(mqttasgi())
    await t.throwsAsync(server.spawn('broken', Broken), {
      code: 'ERR_WORKER_START',
      message: /no constructor today/,
    })
    await t.throwsAsync(server.spawn('unable', Unable), {
      code: 'ERR_WORKER_START',
      message: /no connection today/,
    })
    await t.throwsAsync(server.spawn('nowhere', './nowhere.ts'), { code: 'ERR_APPLICATION_FILE' })
    await t.throwsAsync(server.spawn('python', 'app.consumers:Pump'), { code: 'ERR_WORKER_APPLICATION' })
    t.deepEqual(server.workers(), [])
    t.deepEqual([...held(proxy.log)], [])
  },
)

let spawned = 0

/**
 * So many workers are spawned, half of them consumers in a group of their own, get a message each, and are ended. None
 * has an id that another one had: what is left of an id adds up.
 */
async function round(server: Server, publisher: Publisher, count: number): Promise<void> {
  const seen = new Tally()
  const worker = mqttasgi()
  worker.topic('ping', (ctx) => seen.add(ctx.scope.appId))
  class Member extends MqttConsumer {
    static override readonly channelHandlers: ChannelHandlers<Member> = { 'ping.back': 'pinged' }
    override async connect(): Promise<void> {
      await this.groupAdd(`group-${this.scope.appId}`)
      await this.subscribe('ping')
    }
    override async receive(): Promise<void> {
      await this.groupSend(`group-${this.scope.appId}`, { type: 'ping.back' })
    }
    pinged(): void {
      seen.add(this.scope.appId)
    }
  }
  const ids = Array.from({ length: count }, () => `worker-${spawned++}`)
  await Promise.all(ids.map((id, i) => server.spawn(id, i % 2 === 0 ? worker : Member, { mount: `w/${id}` })))
  await publisher.many(count, (i) => `w/${ids[i]}/ping`)
  await seen.untilDistinct(count)
  await Promise.all(ids.map((id) => server.kill(id)))
}

withMosquitto.serial(
  'a thousand workers, spawned and ended on one connection, leave no filter and no worker',
  async (t) => {
    const { proxy, publisher, serve } = await scene(t)
    const app = mqttasgi()
    app.topic('own', () => {})
    const server = await serve(app)
    await round(server, publisher, 1_000)
    t.deepEqual([...held(proxy.log)], ['own'])
    t.deepEqual(server.workers(), [])
  },
)

withMosquitto.serial(
  'thousands of workers that come and go, no id twice, leave no memory and no listener',
  async (t) => {
    const broker = await startMosquitto()
    t.teardown(() => broker.stop())
    const publisher = await startPublisher(broker.url)
    t.teardown(() => publisher.close())
    const server = await servingDirectly(t, mqttasgi(), {
      // Without the words of the server: to keep them for the watch would be memory that is left.
      broker: await recorded(t, { url: broker.url, retries: 0 }, {}),
      // The channel of a consumer that is gone is forgotten when an event in it would have been.
      channels: { expiry: 0.1 },
    })
    // One application for all of them: what each registers there must go with it.
    const shared = mqttasgi()
    shared.topic('ping', () => {})
    const receivers = new Set<object>()
    const mountedIn = Reflect.get(shared, 'mountedIn') as (mount: object) => () => void
    Object.assign(shared, {
      mountedIn(mount: object) {
        const unmount = mountedIn.call(shared, mount)
        receivers.add(mount)
        return () => {
          receivers.delete(mount)
          unmount()
        }
      },
    })
    for (let i = 0; i < 6; i++) await round(server, publisher, 250)
    const heaps = [await heap()]
    const began = performance.now()
    for (let i = 0; i < 4; i++) {
      await round(server, publisher, 250)
      await round(server, publisher, 250)
      heaps.push(await heap())
    }
    const tookMs = performance.now() - began
    const grown = heaps.slice(1).map((bytes, i) => Math.round((bytes - heaps[i]!) / 500))
    t.log(
      `2,000 more in ${Math.round(tookMs)} ms; for each worker the heap grew by ${grown.join(', ')} bytes`,
    )
    // Tables that have an end, of packet ids or of filters that were given up, grow by leaps: so the second least counts.
    // That is 150 to 350 bytes, and up to twice that on a busy machine; what a worker leaves behind comes on top.
    const [, second = Infinity] = grown.toSorted((one, other) => one - other)
    t.true(second < 1_000, grown.join(', '))
    await Promise.all(['a', 'b'].map((id) => server.spawn(id, shared, { mount: id })))
    t.is(receivers.size, 2)
    await Promise.all(['a', 'b'].map((id) => server.kill(id)))
    t.is(receivers.size, 0)
  },
)

async function heap(): Promise<number> {
  // What has just ended is let go of in the turns that follow.
  await turns()
  setFlagsFromString('--expose_gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5))
}
