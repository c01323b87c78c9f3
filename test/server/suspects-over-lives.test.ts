// What kills processes is put away after three of them, however the broker sends it again.
import test from 'ava'
import { Lives } from '../helpers/lives.ts'

test('three processes die of a message, whether or not the broker marks what it sends again', async (t) => {
  for (const again of ['again ', '']) {
    const lives = new Lives(2)
    t.is((await lives.live(['poison'])).diedOf, 'poison')
    for (let deaths = 1; deaths < 3; deaths++)
      t.is((await lives.live([`${again}poison`, `${again}neighbour`])).diedOf, 'poison', again)
    const last = await lives.live([`${again}poison`, `${again}neighbour`])
    t.deepEqual(last, { diedOf: undefined, handled: ['neighbour'], quarantined: ['poison'] })
  }
})

test('what came behind the death of a process is not counted for it', async (t) => {
  const lives = new Lives(2)
  await lives.live([], { end: 'killed' })
  t.is((await lives.live(['poison'])).diedOf, 'poison')
  for (let deaths = 1; deaths < 3; deaths++) t.is((await lives.live(['again poison'])).diedOf, 'poison')
  t.deepEqual((await lives.live(['again poison'])).quarantined, ['poison'])
})

test('it is found out when the broker sends it again late, behind as many new ones as it likes', async (t) => {
  const lives = new Lives(2)
  t.is((await lives.live(['poison', 'other'])).diedOf, 'poison')
  for (let deaths = 1; deaths < 3; deaths++) {
    const { diedOf } = await lives.live([`${deaths}a`, `${deaths}b`, `${deaths}c`, 'again poison'])
    t.is(diedOf, 'poison')
  }
  const last = await lives.live(['4a', '4b', '4c', 'again poison', 'again other', '4d'])
  t.deepEqual(last.quarantined, ['poison'])
  t.deepEqual(last.handled, ['4a', '4b', '4c', 'other', '4d'])
})

test('a message that a process has died of is one whenever it comes, marked or not', async (t) => {
  const lives = new Lives(2)
  for (let deaths = 0; deaths < 2; deaths++) t.is((await lives.live(['poison'])).diedOf, 'poison')
  t.is((await lives.live(['1', '2', '3', 'poison'])).diedOf, 'poison')
  t.deepEqual((await lives.live(['4', '5', '6', 'poison'])).quarantined, ['poison'])
})

test('also behind a process that ended well', async (t) => {
  const lives = new Lives(2)
  for (let deaths = 0; deaths < 2; deaths++) t.is((await lives.live(['poison'])).diedOf, 'poison')
  await lives.live(['1'])
  t.is((await lives.live(['2', 'poison'])).diedOf, 'poison')
  t.deepEqual((await lives.live(['poison'])).quarantined, ['poison'])
})

test('one that is a dead letter is put away again at once as long as its acknowledgement was not written', async (t) => {
  for (const again of ['again ', '']) {
    const lives = new Lives(2)
    const sent = `${again}poison`
    for (let deaths = 0; deaths < 3; deaths++)
      t.is((await lives.live([deaths === 0 ? 'poison' : sent])).diedOf, 'poison')
    for (const end of ['killed', 'stopped', 'stopped', 'killed'] as const)
      t.deepEqual((await lives.live([sent], { end, isCut: true })).quarantined, ['poison'], end)
    t.deepEqual((await lives.live([sent])).quarantined, ['poison'])
    t.is((await lives.live(['poison'])).diedOf, 'poison')
  }
})

test('of several, each is put away after three processes at most, and nothing else is', async (t) => {
  for (const again of ['again ', '']) {
    const lives = new Lives(3)
    const done = new Set<string>()
    const deaths: string[] = []
    const quarantined: string[] = []
    for (let mark = ''; deaths.length < 7; mark = again) {
      const sent = ['1', 'poison 1', '2', 'poison 2', '3'].filter((one) => !done.has(one))
      const life = await lives.live(sent.map((one) => `${mark}${one}`))
      for (const one of [...life.handled, ...life.quarantined]) done.add(one)
      quarantined.push(...life.quarantined)
      if (life.diedOf === undefined) break
      deaths.push(life.diedOf)
    }
    t.deepEqual(quarantined, ['poison 1', 'poison 2'])
    for (const poison of quarantined) t.true(deaths.filter((one) => one === poison).length <= 3, poison)
    t.deepEqual([...done].sort(), ['1', '2', '3', 'poison 1', 'poison 2'])
  }
})
