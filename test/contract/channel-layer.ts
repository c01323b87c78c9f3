// What every channel layer promises; each implementation runs this suite over a set-up of its own.
import type { ExecutionContext } from 'ava'
import type { ChannelLayer, ChannelLimits } from '../../lib/core/channel-layer.ts'
import { MqttasgiError, type ErrorCode } from '../../lib/core/errors.ts'

/** AVA's `test`, or one that skips where a server is missing. */
type Register = (title: string, run: (t: ExecutionContext) => Promise<void>) => void

/** Layers that reach each other, as two processes would have them; the same one twice where it has one process only. */
export interface LayersSetup {
  readonly here: ChannelLayer
  readonly there: ChannelLayer
  /** Lets so much time go by for the events that wait. */
  readonly wait: (ms: number) => Promise<void>
  /** Resolves when what was sent from here has come there, and what both wait for is known. */
  readonly arrived: () => Promise<void>
  /** The sender can not always know whether there is room; then who receives counts it. */
  readonly knowsRoom: boolean
}

/** Fails where `code` is not what the promise is rejected with. */
export async function throwsCode(
  t: ExecutionContext,
  promise: Promise<unknown>,
  code: ErrorCode,
): Promise<MqttasgiError> {
  const error = await t.throwsAsync(promise, { instanceOf: MqttasgiError })
  t.is(error.code, code)
  return error
}

/** `open` gives layers in which nothing was sent. */
export function channelLayerContract(
  test: Register,
  name: string,
  open: (t: ExecutionContext, limits?: ChannelLimits) => Promise<LayersSetup>,
): void {
  const event = (number: number): { type: string; number: number } => ({ type: 'test.number', number })

  test(`${name}: what is sent to a channel is received there, once, as it was`, async (t) => {
    const { here, there } = await open(t)
    const channel = await there.newChannel()
    const sent = {
      type: 'test.all',
      text: 'grün',
      list: [1, -0.5, null, true, { $bytes: 'no bytes', $$: 1 }],
      bytes: Buffer.from([0, 255, 128]),
    }
    await here.send(channel, sent)
    t.deepEqual(await there.receive(channel), sent)
    t.is(there.counters.received, 1)
    t.is(here.counters.sent, 1)
  })

  test(`${name}: a field that is undefined is left out, and undefined in a list is refused`, async (t) => {
    const { here, there } = await open(t)
    const channel = await there.newChannel()
    await here.send(channel, { type: 'test.none', none: undefined, deep: { none: undefined } })
    const got = await there.receive(channel)
    t.deepEqual(got, { type: 'test.none', deep: {} })
    t.false('none' in got)
    await throwsCode(t, here.send(channel, { type: 'test.none', list: [undefined] }), 'ERR_CHANNEL_EVENT')
  })

  test(`${name}: events of one sender come in their order`, async (t) => {
    const { here, there } = await open(t)
    const channel = await there.newChannel()
    for (let i = 0; i < 20; i++) await here.send(channel, event(i))
    for (let i = 0; i < 20; i++) t.is((await there.receive(channel))['number'], i)
  })

  test(`${name}: who waits gets the event when it comes, and of two who wait each gets one`, async (t) => {
    const { here, there } = await open(t)
    const channel = await there.newChannel()
    const both = [there.receive(channel), there.receive(channel)]
    await here.send(channel, event(1))
    await here.send(channel, event(2))
    t.deepEqual(await Promise.all(both), [event(1), event(2)])
  })

  test(`${name}: a channel that all know is received from by one of them`, async (t) => {
    const { here, there, arrived } = await open(t)
    const end = new AbortController()
    const got: unknown[] = []
    const all = [here, there].map(async (layer) => {
      for (;;) got.push((await layer.receive('shared', end.signal))['number'])
    })
    await arrived()
    await there.send('shared', event(-1))
    for (let i = 0; i < 10; i++) await here.send('shared', event(i))
    while (got.length < 11) await new Promise((resolve) => setTimeout(resolve, 5))
    end.abort(new Error('enough'))
    await Promise.allSettled(all)
    t.deepEqual(
      got.toSorted((a, b) => Number(a) - Number(b)),
      Array.from({ length: 11 }, (_, i) => i - 1),
    )
  })

  test(`${name}: a receive that was given up rejects with its reason and loses nothing`, async (t) => {
    const { here, there } = await open(t)
    const channel = await there.newChannel()
    const reason = new Error('enough')
    const end = new AbortController()
    const waiting = there.receive(channel, end.signal)
    end.abort(reason)
    t.is(await t.throwsAsync(waiting), reason)
    await t.throwsAsync(there.receive(channel, AbortSignal.abort(reason)), { is: reason })
    await here.send(channel, event(1))
    t.deepEqual(await there.receive(channel), event(1))
  })

  test(`${name}: what is no signal is refused, and what carries one is told how to give it`, async (t) => {
    const { here } = await open(t)
    const channel = await here.newChannel()
    for (const bad of [{ signal: new AbortController().signal }, new AbortController(), 5, 'signal']) {
      const error = await throwsCode(t, here.receive(channel, bad as never), 'ERR_CONFIG_VALUE')
      t.regex(error.message, /receive\(channel, signal\)/)
    }
    await here.send(channel, event(1))
    t.deepEqual(await here.receive(channel), event(1))
  })

  test(`${name}: a group's event comes to each of its channels, wherever it is, and to no other`, async (t) => {
    const { here, there } = await open(t)
    const [a, b, c] = [await here.newChannel(), await there.newChannel('other'), await there.newChannel()]
    await here.groupAdd('all', a)
    await there.groupAdd('all', b)
    await there.groupAdd('all', b)
    await here.groupAdd('all', c)
    await here.groupDiscard('all', c)
    await there.groupDiscard('nobody', c)
    await here.groupSend('all', event(1))
    await there.groupSend('all', event(2))
    await there.groupSend('nobody', event(3))
    await here.send(c, event(4))
    t.deepEqual([await here.receive(a), await here.receive(a)], [event(1), event(2)])
    t.deepEqual([await there.receive(b), await there.receive(b)], [event(1), event(2)])
    t.deepEqual(await there.receive(c), event(4))
  })

  test(`${name}: a channel whose owner is elsewhere can be added to a group and taken out of it`, async (t) => {
    const { here, there } = await open(t)
    const channel = await there.newChannel()
    await here.groupAdd('far', channel)
    await here.groupSend('far', event(1))
    t.deepEqual(await there.receive(channel), event(1))
    await here.groupDiscard('far', channel)
    await here.groupSend('far', event(2))
    await here.send(channel, event(3))
    t.deepEqual(await there.receive(channel), event(3))
  })

  test(`${name}: each gets a copy of its own`, async (t) => {
    const { here } = await open(t)
    const [a, b] = [await here.newChannel(), await here.newChannel()]
    await here.groupAdd('copies', a)
    await here.groupAdd('copies', b)
    const list = [1]
    await here.groupSend('copies', { type: 'test.list', list })
    list.push(2)
    const first = await here.receive(a)
    ;(first['list'] as number[]).push(3)
    t.deepEqual((await here.receive(b))['list'], [1])
  })

  test(`${name}: what finds no room is an error, or told to who has sent it, and takes nothing away`, async (t) => {
    const { here, there, knowsRoom, arrived } = await open(t, { capacity: 3 })
    const channel = await there.newChannel()
    for (let i = 0; i < 3; i++) await here.send(channel, event(i))
    if (knowsRoom) {
      const error = await throwsCode(t, here.send(channel, event(3)), 'ERR_CHANNEL_FULL')
      t.deepEqual(error.channels, [channel])
    } else {
      await here.send(channel, event(3))
      await arrived()
      t.is(there.counters.full, 1)
    }
    t.is(here.counters.full, 1)
    for (let i = 0; i < 3; i++) t.is((await there.receive(channel))['number'], i)
    await here.send(channel, event(4))
    t.is((await there.receive(channel))['number'], 4)
  })

  test(`${name}: a group's event comes to all that have room, and the others are named`, async (t) => {
    const { here } = await open(t, { capacity: 1 })
    const [full, empty] = [await here.newChannel(), await here.newChannel()]
    await here.groupAdd('some', full)
    await here.groupAdd('some', empty)
    await here.send(full, event(1))
    const error = await throwsCode(t, here.groupSend('some', event(2)), 'ERR_CHANNEL_FULL')
    t.deepEqual(error.channels, [full])
    t.true(error.message.includes(full))
    t.deepEqual(await here.receive(empty), event(2))
    t.deepEqual(await here.receive(full), event(1))
    t.is(here.counters.full, 1)
  })

  test(`${name}: what nobody has received in time is gone, counted, and makes room`, async (t) => {
    const { here, wait } = await open(t, { capacity: 2, expiry: 1 })
    const channel = await here.newChannel()
    await here.send(channel, event(1))
    await here.send(channel, event(2))
    await wait(1_100)
    await here.send(channel, event(3))
    t.deepEqual(await here.receive(channel), event(3))
    t.is(here.counters.expired, 2)
  })

  test(`${name}: a channel leaves a group when its time is over, and stays when it is added anew`, async (t) => {
    const { here, wait } = await open(t, { groupExpiry: 2 })
    const [gone, kept] = [await here.newChannel(), await here.newChannel()]
    await here.groupAdd('old', gone)
    await here.groupAdd('old', kept)
    await wait(1_200)
    await here.groupAdd('old', kept)
    await wait(1_200)
    await here.groupSend('old', event(1))
    await here.send(gone, event(2))
    t.deepEqual(await here.receive(kept), event(1))
    t.deepEqual(await here.receive(gone), event(2))
  })

  test(`${name}: flush() forgets events and groups, and who waits goes on waiting`, async (t) => {
    const { here } = await open(t)
    const [a, b] = [await here.newChannel(), await here.newChannel()]
    await here.groupAdd('all', a)
    await here.send(a, event(1))
    const waiting = here.receive(b)
    await here.flush()
    await here.groupSend('all', event(2))
    await here.send(a, event(3))
    await here.send(b, event(4))
    t.deepEqual(await here.receive(a), event(3))
    t.deepEqual(await waiting, event(4))
  })

  test(`${name}: new channels are not the same, are fewer than 100 characters, and have their prefix`, async (t) => {
    const { here, there } = await open(t)
    const names = [await here.newChannel(), await here.newChannel(), await there.newChannel('alarms')]
    t.is(new Set(names).size, 3)
    for (const channel of names) t.regex(channel, /^[\w.-]+![\w.-]+$/)
    t.true(names[2]?.startsWith('alarms.'))
    t.true(names.every(({ length }) => length < 100))
    await throwsCode(t, here.newChannel('no spaces'), 'ERR_CHANNEL_NAME')
    await throwsCode(t, here.newChannel('x'.repeat(99)), 'ERR_CHANNEL_NAME')
  })

  test(`${name}: names and events that are none are refused before anything is sent`, async (t) => {
    const { here } = await open(t)
    for (const bad of ['', 'a b', 'ä', 'x'.repeat(100), 'a!', 'a!b!c', '+', '#', 'a/b', '{a}']) {
      await throwsCode(t, here.send(bad, event(1)), 'ERR_CHANNEL_NAME')
      await throwsCode(t, here.receive(bad), 'ERR_CHANNEL_NAME')
      await throwsCode(t, here.groupAdd('all', bad), 'ERR_CHANNEL_NAME')
      await throwsCode(t, here.groupDiscard('all', bad), 'ERR_CHANNEL_NAME')
      await throwsCode(t, here.groupAdd(bad, 'a'), 'ERR_CHANNEL_NAME')
      await throwsCode(t, here.groupSend(bad, event(1)), 'ERR_CHANNEL_NAME')
    }
    await throwsCode(t, here.groupSend('a.b!c', event(1)), 'ERR_CHANNEL_NAME')
    await throwsCode(t, here.send('a', { type: 'x', when: new Date() }), 'ERR_CHANNEL_EVENT')
    await throwsCode(t, here.groupSend('a', { type: '' }), 'ERR_CHANNEL_EVENT')
    t.is(here.counters.sent, 0)
  })

  test(`${name}: who waits is told of the end, and so is whoever comes later`, async (t) => {
    const { here } = await open(t)
    const channel = await here.newChannel()
    const waiting = [here.receive(channel), here.receive('shared')]
    const told = Promise.all(waiting.map((one) => throwsCode(t, one, 'ERR_CHANNEL_CLOSED')))
    await here.close()
    await told
    await here.close()
    for (const late of [
      here.send(channel, event(1)),
      here.receive(channel),
      here.newChannel(),
      here.groupAdd('all', channel),
      here.groupDiscard('all', channel),
      here.groupSend('all', event(1)),
      here.flush(),
    ]) {
      await throwsCode(t, late, 'ERR_CHANNEL_CLOSED')
    }
  })

  test(`${name}: its name is one line`, async (t) => {
    const { here } = await open(t)
    t.regex(here.name, /^[ -~]+$/)
  })
}
