// QoS 2 over cuts, crashes and lost sessions at any point: nothing is lost, and what was recorded is not run again.
import test from 'ava'
import * as fc from 'fast-check'
import { ExchangeWorld, type Habits } from '../helpers/exchange-world.ts'

type Step = (world: ExchangeWorld) => void | Promise<void>

const few = fc.nat(4)
const steps: fc.Arbitrary<[string, Step]> = fc.oneof(
  // Two texts only, so that equal messages under one packet id are common.
  fc
    .constantFrom('x', 'y')
    .map((text): [string, Step] => [`publish ${text}`, (world) => world.publish(text)]),
  { weight: 4, arbitrary: fc.constant<[string, Step]>(['send', (world) => world.send()]) },
  { weight: 6, arbitrary: fc.constant<[string, Step]>(['read', (world) => world.read()]) },
  { weight: 4, arbitrary: few.map((at): [string, Step] => [`handle ${at}`, (world) => world.handle(at)]) },
  { weight: 4, arbitrary: few.map((n): [string, Step] => [`commit ${n}`, (world) => world.commit(n)]) },
  { weight: 6, arbitrary: fc.constant<[string, Step]>(['receive', (world) => world.receive()]) },
  fc
    .tuple(few, few)
    .map(([down, up]): [string, Step] => [`cut ${down} ${up}`, (world) => world.cut(down, up)]),
  few.map((writes): [string, Step] => [`crash ${writes}`, (world) => world.crash(writes)]),
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.integer({ min: 0, max: 9 }), fc.option(few, { freq: 3 }))
      .map(([n, dies]): [string, Step] => [
        `connect ${n < 2} ${dies}`,
        (world) => world.connect(n < 2, dies ?? undefined),
      ]),
  },
)

/** All goes well from here on. */
async function settle(world: ExchangeWorld): Promise<void> {
  for (let i = 0; i < 400 && !world.atRest; i++) {
    await world.connect(false)
    for (const step of ['send', 'read', 'receive'] as const) world[step]()
    world.handle(0)
    await world.commit()
  }
}

const holds = test.macro(async (t, habits: Habits, numRuns: number) => {
  const property = fc.asyncProperty(fc.array(steps, { maxLength: 120, size: 'max' }), async (list) => {
    const world = new ExchangeWorld(habits)
    for (const [, step] of list) await step(world)
    await settle(world)
    if (!world.atRest) throw new Error('it never comes to rest')
    if (habits.durable && !habits.careless && world.store.durable.size > 0)
      throw new Error('something is left in the store')
    const lost = world.publications.find(({ forgotten, handled }) => !forgotten && handled === 0)
    if (lost !== undefined) throw new Error(`${lost.number} was never run`)
  })
  await fc.assert(property, { seed: 20_261_125, numRuns })
  t.pass()
})

test('with a store, a broker that keeps to the standard', holds, { durable: true, careless: false }, 1_500)
test(
  'without a store, a broker that keeps to the standard',
  holds,
  { durable: false, careless: false },
  1_500,
)
test('with a store, a broker that renumbers and sets no DUP', holds, { durable: true, careless: true }, 1_500)
test('without a store, such a broker', holds, { durable: false, careless: true }, 1_500)
