// The line: one thing at a time, at once where nothing runs.
import test from 'ava'
import { Line } from '../../lib/consumer/line.ts'
import { Deferred } from '../../lib/core/deferred.ts'

test('what comes before it is open waits, and runs behind what opens it', async (t) => {
  const line = new Line()
  const order: string[] = []
  const early = line.run(() => void order.push('early'))
  t.false(line.isFree)
  void line.open(() => void order.push('first'))
  await early
  t.deepEqual(order, ['first', 'early'])
  t.true(line.isFree)
})

test('work that waits for nothing is run at once and gives its value', (t) => {
  const line = new Line()
  void line.open(() => {})
  t.is(
    line.run(() => 7),
    7,
  )
})

test('what runs holds up the rest, and a failure only its own', async (t) => {
  const line = new Line()
  void line.open(() => {})
  const gate = new Deferred()
  const order: number[] = []
  const failing = line.run(async () => {
    await gate.promise
    throw new Error('one')
  })
  const throwing = line.run(() => {
    order.push(2)
    throw new Error('two')
  })
  const last = line.run(() => order.push(3))
  t.deepEqual(order, [])
  gate.resolve()
  await t.throwsAsync(Promise.resolve(failing), { message: 'one' })
  await t.throwsAsync(Promise.resolve(throwing), { message: 'two' })
  await last
  t.deepEqual(order, [2, 3])
  t.throws(
    () =>
      line.run(() => {
        throw new Error('three')
      }),
    { message: 'three' },
  )
  t.true(line.isFree)
})

test('a hundred thousand that wait for nothing do not pile up on the stack', async (t) => {
  const line = new Line()
  let ran = 0
  let last: unknown
  for (let i = 0; i < 100_000; i++) last = line.run(() => ran++)
  void line.open(() => {})
  await last
  t.is(ran, 100_000)
})

test('what is let go of holds up nothing any more, neither what waits nor what comes', async (t) => {
  const line = new Line()
  const order: string[] = []
  void line.open(() => new Promise(() => {}))
  void line.run(() => order.push('waited'))
  void line.run(async () => {
    order.push('waited too')
    await new Promise(() => {})
  })
  line.letGo()
  t.is(await line.run(() => order.push('came')), 3)
  t.deepEqual(order, ['waited', 'waited too', 'came'])
})

test('what is asked for within the line waits for its turn', async (t) => {
  const line = new Line()
  void line.open(() => {})
  const order: string[] = []
  void line.run(() => {
    void line.run(() => void order.push('inner'))
    order.push('outer')
  })
  t.deepEqual(order, ['outer', 'inner'])
})
