// The matrix of overlaps: a/+, a/#, a/b and +/b, alike and with QoS and options of their own, retained, shared, added under way.
import type { ExecutionContext } from 'ava'
import { mqttasgi, type RouteOptions, type Server } from '../../lib/index.ts'
import { startPublisher, type Publisher } from '../helpers/publisher.ts'
import { recording } from '../helpers/recording.ts'
import { newClientId, serving } from '../integration/serving.ts'
import { Tally } from '../integration/tally.ts'

/** A broker that runs, and what must be known of it. */
export interface MatrixBroker {
  readonly url: string
  readonly login?: { readonly username: string; readonly password: string } | undefined
  readonly protocolVersion: 4 | 5
  /** Why it has no shared subscriptions. */
  readonly noShare?: string | undefined
  /** Why nothing retained comes over wildcards. */
  readonly noRetained?: string | undefined
  /** Why nothing may wait at the broker while one filter takes the place of another. */
  readonly noBacklog?: string | undefined
}

/** One run of the chain: the payload, its QoS and the routes that ran, in order. */
interface Run {
  readonly payload: string
  readonly qos: number
  readonly routes: readonly string[]
}

const patterns = ['a/+', 'a/#', 'a/b', '+/b'] as const
const expected: Readonly<Record<string, readonly string[]>> = {
  1: [...patterns],
  2: ['a/+', 'a/#'],
  3: ['+/b'],
}

const manners: Readonly<Record<string, readonly RouteOptions[]>> = {
  alike: [{}, {}, {}, {}],
  'with QoS of their own': [{ qos: 0 }, { qos: 2 }, { qos: 1 }, { qos: 0 }],
  'with options that keep them apart': [
    { retainAsPublished: true },
    {},
    { noLocal: true },
    { retainAsPublished: true, qos: 0 },
  ],
}

let scenes = 0

/** An application under a prefix of its own. */
class Scene {
  readonly prefix = `matrix${++scenes}`
  readonly runs: Run[] = []
  readonly ran = new Tally()
  readonly app = mqttasgi()
  readonly #t: ExecutionContext
  readonly #broker: MatrixBroker
  readonly #publisher: Publisher
  readonly #ends = new Tally()
  server: Server | undefined = undefined

  constructor(t: ExecutionContext, broker: MatrixBroker, publisher: Publisher) {
    this.#t = t
    this.#broker = broker
    this.#publisher = publisher
    this.app.topic(`${this.prefix}/end`, (ctx) => this.#ends.add(ctx.text()))
    this.app.use(this.prefix, async (ctx, next) => {
      const routes: string[] = []
      ctx.state['routes'] = routes
      await next()
      this.runs.push({ payload: ctx.text(), qos: ctx.qos, routes })
      this.ran.add(ctx.text())
    })
  }

  route(pattern: string, options: RouteOptions, name = pattern): void {
    const shared = /^\$share\/\w+\//.exec(pattern)?.[0] ?? ''
    this.app.topic(`${shared}${this.prefix}/${pattern.slice(shared.length)}`, options, (ctx, next) => {
      const { routes } = ctx.state
      if (Array.isArray(routes)) routes.push(name)
      return next()
    })
  }

  async serve(overlap?: 'accept' | 'superset'): Promise<Server> {
    const { login, protocolVersion, url } = this.#broker
    const server = await serving(this.#t, this.app, {
      broker: { url, protocolVersion, clientId: newClientId(), ...login },
      ...(overlap === undefined ? {} : { overlap }),
    })
    this.server = server
    return server
  }

  publish(topic: string, payload: string, retain = false): Promise<void> {
    return this.#publisher.publish(`${this.prefix}/${topic}`, payload, { retain })
  }

  /** Resolves when all that was published before has been handled. */
  async end(): Promise<void> {
    await this.publish('end', 'one')
    await this.#ends.untilDistinct(1)
    await this.server?.stop()
  }

  runsOf(payload: string): readonly Run[] {
    return this.runs.filter((run) => run.payload === payload)
  }
}

/** Runs all of it. What the broker can not do is logged with its reason. */
export async function runOverlapMatrix(t: ExecutionContext, broker: MatrixBroker): Promise<void> {
  const publisher = await startPublisher(broker.url, broker.login)
  t.teardown(() => publisher.close())
  // Copies and what a wider filter brings are acknowledged without a run, and before that of the copy that has one.
  const { url } = await recording(t, Number(new URL(broker.url).port), {})
  const begin = (): Scene => new Scene(t, { ...broker, url }, publisher)
  const ways = broker.protocolVersion === 5 ? (['accept'] as const) : (['accept', 'superset'] as const)
  for (const [manner, options] of Object.entries(manners)) {
    for (const overlap of ways) await allMatch(t, begin(), { broker, manner, options, overlap })
  }
  await underWay(t, begin(), broker)
  if (broker.noRetained === undefined) await retained(t, begin(), broker)
  else t.log(`skipped: retained messages, for ${broker.noRetained}`)
  if (broker.noShare === undefined) await shared(t, begin(), broker)
  else t.log(`skipped: shared subscriptions, for ${broker.noShare}`)
}

interface Manner {
  readonly broker: MatrixBroker
  readonly manner: string
  readonly options: readonly RouteOptions[]
  readonly overlap: 'accept' | 'superset'
}

async function allMatch(
  t: ExecutionContext,
  scene: Scene,
  { broker, manner, options, overlap }: Manner,
): Promise<void> {
  patterns.forEach((pattern, i) => scene.route(pattern, options[i] ?? {}))
  const server = await scene.serve(overlap)
  await scene.publish('a/b', '1')
  await scene.publish('a/c', '2')
  await scene.publish('c/b', '3')
  await scene.publish('c/d', '4')
  await scene.end()
  const what = `${manner}, ${overlap}`
  const copies: number[] = []
  for (const [payload, routes] of Object.entries(expected)) {
    const runs = scene.runsOf(payload)
    copies.push(runs.length)
    for (const run of runs) t.deepEqual(run.routes, routes, `${what}: ${payload}`)
    // Whichever copy the broker chose, it is as sure as the surest route wants it.
    if (payload !== '3' || manner !== 'with QoS of their own')
      t.true(
        runs.some(({ qos }) => qos >= 1),
        `${what}: QoS of ${payload}`,
      )
    if (broker.protocolVersion === 5 || overlap === 'superset')
      t.is(runs.length, 1, `${what}: runs of ${payload}`)
    else t.true(runs.length >= 1 && runs.length <= 4, `${what}: ${runs.length} runs of ${payload}`)
  }
  t.is(scene.runsOf('4').length, 0)
  t.is(server.counters.unmatched, 0, what)
  if (overlap === 'superset') t.true(server.counters.surplus >= 1, what)
  t.log(
    `${what}: ran ${copies.join(', ')}, copies ${server.counters.copies}, surplus ${server.counters.surplus}`,
  )
}

async function underWay(
  t: ExecutionContext,
  scene: Scene,
  { noBacklog, protocolVersion }: MatrixBroker,
): Promise<void> {
  scene.route('a/b', {})
  await scene.serve()
  if (noBacklog !== undefined) t.log(`skipped: routes that come while messages wait, for ${noBacklog}`)
  const sent: Promise<void>[] = []
  for (let i = 0; i < 300; i++) {
    sent.push(scene.publish('a/b', `m${i}`))
    if (noBacklog !== undefined && i % 100 === 0) await scene.ran.untilDistinct(i + 1)
    if (i === 100) scene.route('+/b', { qos: 0 })
    if (i === 200) scene.route('a/#', {})
    if (noBacklog !== undefined && i % 100 === 0) await scene.app.ready()
    if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await scene.app.ready()
  await Promise.all(sent)
  await scene.publish('a/b', 'last')
  // nats-server keeps no order between filters: the end may overtake them.
  await scene.ran.untilDistinct(301)
  await scene.end()
  for (let i = 0; i < 300; i++) {
    const runs = scene.runsOf(`m${i}`)
    t.true(runs.length >= 1, `m${i} is lost`)
    if (protocolVersion === 5) t.is(runs.length, 1, `m${i}`)
    for (const run of runs) t.is(run.routes[0], 'a/b')
  }
  t.deepEqual(scene.runsOf('last')[0]?.routes, ['a/b', '+/b', 'a/#'])
}

async function retained(t: ExecutionContext, scene: Scene, { protocolVersion }: MatrixBroker): Promise<void> {
  await scene.publish('a/b', 'kept', true)
  for (const pattern of patterns.slice(0, 3)) scene.route(pattern, {})
  await scene.serve()
  scene.route('+/b', {})
  await scene.app.ready()
  await scene.publish('a/b', '', true)
  await scene.end()
  const runs = scene.runsOf('kept')
  t.log(`retained: ran ${runs.length}`)
  // It may have come after the late route was registered, which it runs then as well.
  for (const { routes } of runs) t.is(routes.slice(0, 3).join(), 'a/+,a/#,a/b')
  t.true(
    runs.some(({ routes }) => routes.includes('+/b')),
    'for the late route',
  )
  if (protocolVersion === 5) t.is(runs.length, 2)
}

async function shared(t: ExecutionContext, scene: Scene, { protocolVersion }: MatrixBroker): Promise<void> {
  scene.route('a/+', {}, 'own')
  scene.route('$share/team/a/+', {}, 'group')
  scene.route('a/b', {}, 'own too')
  if (protocolVersion === 4) {
    await t.throwsAsync(scene.serve(), { code: 'ERR_OVERLAP_SHARED' })
    return
  }
  await scene.serve()
  await scene.publish('a/b', '1')
  await scene.end()
  const chains = scene.runsOf('1').map(({ routes }) => routes.join())
  t.deepEqual(chains.toSorted(), ['group', 'own,own too'])
}
