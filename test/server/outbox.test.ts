import test from 'ava'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { noLimits } from '../../lib/transport/outgoing-publish.ts'
import { FakeClock, settled } from '../helpers/fake-clock.ts'
import { DONE, goOnline, publish, rejectsWith, stageOutbox, STOPPED } from '../helpers/outbox-stage.ts'

/** Goes on a little whenever somebody looks, as real ones do. */
class RunningClock extends FakeClock {
  override now(): number {
    this.advance(0.001)
    return super.now()
  }
}

test('publications wait for the broker and go in order, as many at once as it takes', async (t) => {
  const scene = stageOutbox()
  const results = ['a', 'b', 'c'].map((topic) => publish(scene, topic))
  t.deepEqual(scene.topics(), [])
  t.is(scene.outbox.size, 3)
  goOnline(scene, 2)
  t.deepEqual(scene.topics(), ['a', 'b'])
  scene.sent[1]?.answer.resolve(DONE)
  t.deepEqual(await results[1], DONE)
  await settled()
  t.deepEqual(scene.topics(), ['a', 'b', 'c'])
  scene.sent[0]?.answer.resolve({ reasonCode: 0x10 })
  scene.sent[2]?.answer.reject(new MqttasgiError('ERR_PUBLISH_REFUSED', 'No.'))
  t.deepEqual(await results[0], { reasonCode: 0x10 })
  await rejectsWith(t, results[2], 'ERR_PUBLISH_REFUSED')
  await settled()
  t.is(scene.outbox.size, 0)
  t.is(scene.counters.published, 2)
  t.is(scene.counters.publishRefused, 1)
})

test('what waits is a copy: the caller may go on with its buffer', async (t) => {
  const scene = stageOutbox()
  const payload = Buffer.from('as it was')
  void publish(scene, 'a', {}, payload)
  payload.fill('x')
  goOnline(scene)
  t.is(scene.sent[0]?.payload.toString(), 'as it was')
})

// --- QoS 0 --------------------------------------------------------------------------------------

test('QoS 0 without a connection is refused', async (t) => {
  const scene = stageOutbox()
  await rejectsWith(t, publish(scene, 'a', { qos: 0 }), 'ERR_NOT_CONNECTED', /"a".*outbox\.qos0/)
  goOnline(scene)
  scene.outbox.disconnected()
  await rejectsWith(t, publish(scene, 'a', { qos: 0 }), 'ERR_NOT_CONNECTED')
  t.deepEqual(scene.topics(), [])
})

test('QoS 0 on a connection waits for nobody, and takes no place, only bytes', async (t) => {
  const scene = stageOutbox({ policy: { maxMessages: 1, maxBytes: 60 } })
  goOnline(scene, 1)
  const waits = publish(scene, 'w')
  const results = [publish(scene, 'a', { qos: 0 }), publish(scene, 'b', { qos: 0 })]
  t.deepEqual(scene.topics(), ['w', 'a', 'b'])
  t.is(scene.outbox.size, 3)
  // Each is a frame of 18 bytes, and the connection has written none of them.
  await rejectsWith(t, publish(scene, 'c', { qos: 0 }), 'ERR_OUTBOX_FULL')
  t.is(scene.counters.outboxFull, 1)
  for (const { answer } of scene.sent) answer.resolve(DONE)
  await Promise.all([waits, ...results])
  t.is(scene.outbox.size, 0)
  const last = publish(scene, 'd', { qos: 0 })
  scene.sent[3]?.answer.resolve(DONE)
  t.deepEqual(await last, DONE)
})

test('QoS 0 fails with its connection', async (t) => {
  const scene = stageOutbox({ policy: { qos0: 'keep' } })
  goOnline(scene)
  const result = publish(scene, 'a', { qos: 0 })
  scene.sent[0]?.answer.reject(new MqttasgiError('ERR_NOT_CONNECTED', 'Gone.'))
  await rejectsWith(t, result, 'ERR_NOT_CONNECTED')
})

test('QoS 0 that is kept waits in its turn, needs no window, and none that comes later overtakes it', async (t) => {
  const scene = stageOutbox({ policy: { qos0: 'keep' } })
  void publish(scene, 'a', { qos: 0 })
  void publish(scene, 'b')
  void publish(scene, 'c')
  void publish(scene, 'd', { qos: 0 })
  goOnline(scene, 1)
  t.deepEqual(scene.topics(), ['a', 'b'])
  void publish(scene, 'e', { qos: 0 })
  t.deepEqual(scene.topics(), ['a', 'b'])
  scene.sent[1]?.answer.resolve(DONE)
  await settled()
  t.deepEqual(scene.topics(), ['a', 'b', 'c', 'd', 'e'])
  void publish(scene, 'f', { qos: 0 })
  t.is(scene.topics().at(-1), 'f')
})

// --- limits -------------------------------------------------------------------------------------

test('more than the limits are refused, in number and in bytes, and the answers make room', async (t) => {
  const scene = stageOutbox({ policy: { maxMessages: 2, maxBytes: 50 } })
  goOnline(scene)
  const first = publish(scene, 'a')
  await rejectsWith(t, publish(scene, 'b', {}, Buffer.alloc(30)), 'ERR_OUTBOX_FULL')
  void publish(scene, 'c')
  await rejectsWith(
    t,
    publish(scene, 'd', {}, Buffer.alloc(0)),
    'ERR_OUTBOX_FULL',
    /"d".*2 publications \(40 bytes\).*2 and 50/,
  )
  t.is(scene.counters.outboxFull, 2)
  scene.sent[0]?.answer.resolve(DONE)
  await first
  await settled()
  void publish(scene, 'e')
  t.deepEqual(scene.topics(), ['a', 'c', 'e'])
})

test('what a publication takes beside its frame counts as well', async (t) => {
  const scene = stageOutbox({ policy: { maxBytes: 250, bytesBesideFrame: 100 } })
  void publish(scene, 'a')
  void publish(scene, 'b')
  await rejectsWith(t, publish(scene, 'c'), 'ERR_OUTBOX_FULL', /240 bytes/)
})

test('where the oldest are dropped, as many go as are needed, and each is told', async (t) => {
  const scene = stageOutbox({ policy: { maxMessages: 3, maxBytes: 100, whenFull: 'drop-oldest' } })
  goOnline(scene, 1)
  const results = ['a', 'b', 'c', 'd'].map((topic) => publish(scene, topic))
  await rejectsWith(t, results[1], 'ERR_PUBLISH_DROPPED', /"b".*drop-oldest/)
  // Both that wait make room for 68 bytes. What is under way can not be dropped any more.
  const large = publish(scene, 'e', {}, Buffer.alloc(60))
  await rejectsWith(t, results[2], 'ERR_PUBLISH_DROPPED')
  await rejectsWith(t, results[3], 'ERR_PUBLISH_DROPPED')
  await rejectsWith(t, publish(scene, 'f', {}, Buffer.alloc(90)), 'ERR_OUTBOX_FULL')
  t.is(scene.counters.outboxDropped, 3)
  for (let i = 0; i < 2; i++) {
    scene.sent[i]?.answer.resolve(DONE)
    await settled()
  }
  t.deepEqual(scene.topics(), ['a', 'e'])
  t.deepEqual(await Promise.all([results[0], large]), [DONE, DONE])
})

test('of a topic of which only the newest counts, the newest takes the place of the one that waits', async (t) => {
  const scene = stageOutbox({ policy: { latest: ['status/+'], maxMessages: 2, maxBytes: 70 } })
  const old = publish(scene, 'status/a', {}, Buffer.from('1'))
  void publish(scene, 'other', {}, Buffer.from('1'))
  // No room is needed for it.
  const newer = publish(scene, 'status/a', {}, Buffer.from('22'))
  t.deepEqual(await old, { reasonCode: 0, superseded: true })
  t.is(scene.counters.outboxSuperseded, 1)
  await rejectsWith(t, publish(scene, 'other', {}, Buffer.from('2')), 'ERR_OUTBOX_FULL')
  await rejectsWith(t, publish(scene, 'status/a', {}, Buffer.alloc(60)), 'ERR_OUTBOX_FULL')
  goOnline(scene)
  t.deepEqual(
    scene.sent.map(({ payload, topic }) => `${topic} ${payload.toString()}`),
    ['status/a 22', 'other 1'],
  )
  scene.sent[0]?.answer.resolve(DONE)
  t.deepEqual(await newer, DONE)
})

test('QoS 0 takes the place of QoS 0 only, for it may get lost', async (t) => {
  const scene = stageOutbox({ policy: { latest: ['#'], qos0: 'keep' } })
  const text = (payload: string) => Buffer.from(payload)
  void publish(scene, 'a', {}, text('1'))
  const second = publish(scene, 'a', { qos: 0 }, text('2'))
  const third = publish(scene, 'a', { qos: 0 }, text('3'))
  t.deepEqual(await second, { reasonCode: 0, superseded: true })
  goOnline(scene, 1)
  const fourth = publish(scene, 'a', {}, text('4'))
  t.deepEqual(
    scene.sent.map(({ payload }) => payload.toString()),
    ['1', '3'],
  )
  scene.outbox.disconnected()
  void publish(scene, 'a', { qos: 0 }, text('5'))
  scene.sent[0]?.answer.reject(new MqttasgiError('ERR_NOT_CONNECTED', 'Gone.'))
  await settled()
  t.is(scene.counters.outboxSuperseded, 1)
  goOnline(scene)
  t.deepEqual(
    scene.sent.slice(2).map(({ payload }) => payload.toString()),
    ['1', '4', '5'],
  )
  for (const { answer } of scene.sent) answer.resolve(DONE)
  t.deepEqual(await Promise.all([third, fourth]), [DONE, DONE])
})

test('what comes back before one of QoS 0 goes before it again', async (t) => {
  const scene = stageOutbox({ policy: { latest: ['#'], qos0: 'keep' } })
  goOnline(scene)
  void publish(scene, 'a', {}, Buffer.from('1'))
  scene.outbox.disconnected()
  void publish(scene, 'a', { qos: 0 }, Buffer.from('2'))
  scene.sent[0]?.answer.reject(new MqttasgiError('ERR_NOT_CONNECTED', 'Gone.'))
  await settled()
  void publish(scene, 'a', { qos: 0 }, Buffer.from('3'))
  goOnline(scene)
  t.deepEqual(
    scene.sent.slice(1).map(({ payload }) => payload.toString()),
    ['1', '3'],
  )
})

test('what is under way is not superseded', async (t) => {
  const scene = stageOutbox({ policy: { latest: ['#'] } })
  goOnline(scene, 1)
  const [first, second, third] = ['1', '2', '3'].map((text) => publish(scene, 'a', {}, Buffer.from(text)))
  t.deepEqual(await second, { reasonCode: 0, superseded: true })
  scene.sent[0]?.answer.resolve(DONE)
  t.deepEqual(await first, DONE)
  await settled()
  scene.sent[1]?.answer.resolve(DONE)
  t.deepEqual(await third, DONE)
  t.deepEqual(
    scene.sent.map(({ payload }) => payload.toString()),
    ['1', '3'],
  )
})

// --- time ---------------------------------------------------------------------------------------

test('a publication does not outlive its Message Expiry Interval, and leaves with what is left of it', async (t) => {
  const scene = stageOutbox()
  const withExpiry = (messageExpiryInterval: number) => ({
    properties: { messageExpiryInterval, contentType: 'x' },
  })
  const short = publish(scene, 'a', withExpiry(5))
  const long = publish(scene, 'b', withExpiry(60))
  void publish(scene, 'c', { properties: { contentType: 'x' } })
  scene.clock.advance(5_000)
  t.is(scene.outbox.size, 3)
  scene.clock.advance(1)
  await rejectsWith(t, short, 'ERR_PUBLISH_EXPIRED', /"a".*Message Expiry Interval/)
  t.is(scene.counters.outboxExpired, 1)
  scene.clock.advance(7_998)
  goOnline(scene)
  t.deepEqual(
    scene.sent.map(({ options }) => options.properties),
    [{ messageExpiryInterval: 48, contentType: 'x' }, { contentType: 'x' }],
  )
  // What was sent is the connection's: it may have arrived.
  scene.clock.advance(100_000)
  scene.sent[0]?.answer.resolve(DONE)
  t.deepEqual(await long, DONE)
  t.is(scene.clock.timers, 0)
})

test('an interval of nothing is enough for a broker that is there, and for no wait', async (t) => {
  const scene = stageOutbox({ clock: new RunningClock() })
  const properties = { messageExpiryInterval: 0 }
  const late = publish(scene, 'a', { properties })
  scene.clock.advance(1)
  await rejectsWith(t, late, 'ERR_PUBLISH_EXPIRED')
  goOnline(scene, 2)
  const atOnce = [publish(scene, 'b', { properties }), publish(scene, 'c', { qos: 2, properties })]
  t.deepEqual(scene.topics(), ['b', 'c'])
  t.deepEqual(scene.sent[0]?.options.properties, properties)
  const behind = publish(scene, 'd', { properties })
  for (const { answer } of scene.sent) answer.resolve(DONE)
  t.deepEqual(await Promise.all(atOnce), [DONE, DONE])
  await rejectsWith(t, behind, 'ERR_PUBLISH_EXPIRED')
  t.deepEqual(scene.topics(), ['b', 'c'])
  // Handed over, and the connection was gone.
  const bounced = publish(scene, 'e', { properties })
  scene.sent[2]?.answer.reject(new MqttasgiError('ERR_NOT_CONNECTED', 'Gone.'))
  await settled()
  scene.clock.advance(200)
  await rejectsWith(t, bounced, 'ERR_PUBLISH_EXPIRED')
})

test('none waits longer than the limit', async (t) => {
  const scene = stageOutbox({ policy: { maxAgeMs: 1_000, qos0: 'keep' } })
  const results = [publish(scene, 'a'), publish(scene, 'b', { qos: 0 })]
  scene.clock.advance(500)
  const later = publish(scene, 'c')
  scene.clock.advance(600)
  await rejectsWith(t, results[0], 'ERR_PUBLISH_EXPIRED', /outbox\.maxAge/)
  await rejectsWith(t, results[1], 'ERR_PUBLISH_EXPIRED')
  t.is(scene.outbox.size, 1)
  scene.clock.advance(1_000)
  await rejectsWith(t, later, 'ERR_PUBLISH_EXPIRED')
  t.is(scene.counters.outboxExpired, 3)
  await scene.outbox.idle()
  t.is(scene.clock.timers, 0)
})

test('what expired between two looks is not sent', async (t) => {
  const scene = stageOutbox({ policy: { maxAgeMs: 1_000 } })
  const early = publish(scene, 'a')
  scene.clock.advance(50)
  const late = publish(scene, 'b')
  // The look at the first one is at 1,001, the next one not before 1,101.
  scene.clock.advance(1_020)
  goOnline(scene)
  await rejectsWith(t, early, 'ERR_PUBLISH_EXPIRED')
  await rejectsWith(t, late, 'ERR_PUBLISH_EXPIRED')
  t.deepEqual(scene.topics(), [])
  scene.outbox.close(STOPPED)
  t.is(scene.clock.timers, 0)
})

// --- the broker's limits ------------------------------------------------------------------------

test('what no connection could carry is refused before it waits', async (t) => {
  const scene = stageOutbox({ policy: { maxBytes: Number.POSITIVE_INFINITY } })
  const properties = { contentType: 'a\0b' }
  await rejectsWith(t, publish(scene, 'a', { properties }), 'ERR_PUBLISH_INVALID')
  await rejectsWith(t, publish(scene, 'a', { qos: 3 as 2 }), 'ERR_PUBLISH_INVALID')
  await rejectsWith(t, publish(scene, 'a', { until: 'stored' }), 'ERR_PUBLISH_INVALID', /outbox\.durable/)
  await rejectsWith(t, publish(scene, 'a', {}, Buffer.alloc(268_435_455)), 'ERR_PUBLISH_TOO_LARGE')
  t.is(scene.outbox.size, 0)
})

test('when the limits of the broker become known, what waits is held to them', async (t) => {
  const scene = stageOutbox()
  const large = publish(scene, 'a', {}, Buffer.alloc(100))
  const twice = publish(scene, 'b', { qos: 2 })
  const retained = publish(scene, 'c', { retain: true })
  const fits = publish(scene, 'd')
  scene.outbox.connected(10, { maximumPacketSize: 50, maximumQoS: 1, retainAvailable: false })
  await rejectsWith(t, large, 'ERR_PUBLISH_TOO_LARGE', /108 bytes.*50 at most/)
  await rejectsWith(t, twice, 'ERR_PUBLISH_REFUSED', /QoS 1 at most/)
  await rejectsWith(t, retained, 'ERR_PUBLISH_REFUSED', /no retained/)
  t.deepEqual(scene.topics(), ['d'])
  t.is(scene.counters.publishRefused, 3)
  scene.sent[0]?.answer.resolve(DONE)
  t.deepEqual(await fits, DONE)
})

test('the limits of the last connection hold until the next one says others', async (t) => {
  const scene = stageOutbox()
  scene.outbox.connected(10, { ...noLimits, maximumPacketSize: 50 })
  scene.outbox.disconnected()
  await rejectsWith(t, publish(scene, 'a', {}, Buffer.alloc(100)), 'ERR_PUBLISH_TOO_LARGE')
  t.is(scene.counters.publishRefused, 1)
  goOnline(scene)
  void publish(scene, 'a', {}, Buffer.alloc(100))
  t.deepEqual(scene.topics(), ['a'])
})

test('what ended the connection again and again is counted for itself', async (t) => {
  const scene = stageOutbox()
  goOnline(scene)
  const result = publish(scene, 'a')
  scene.sent[0]?.answer.reject(new MqttasgiError('ERR_PUBLISH_QUARANTINED', 'Never again.'))
  await rejectsWith(t, result, 'ERR_PUBLISH_QUARANTINED')
  t.is(scene.counters.quarantined, 1)
  t.deepEqual(scene.lines, ['error: A publication is given up: Never again.'])
  t.is(scene.counters.publishRefused, 0)
})

// --- connections and the end --------------------------------------------------------------------

test('while the broker is away nothing more is sent, and what is under way stays so', async (t) => {
  const scene = stageOutbox()
  goOnline(scene, 1)
  const results = [publish(scene, 'a'), publish(scene, 'b')]
  scene.outbox.disconnected()
  scene.sent[0]?.answer.resolve(DONE)
  await results[0]
  await settled()
  t.deepEqual(scene.topics(), ['a'])
  goOnline(scene, 1)
  t.deepEqual(scene.topics(), ['a', 'b'])
})

test('what was refused because the connection was already gone waits on, in its place', async (t) => {
  const scene = stageOutbox({ policy: { latest: ['l'] } })
  goOnline(scene, 3)
  const results = ['a', 'l', 'b', 'c'].map((topic) => publish(scene, topic))
  const newer = publish(scene, 'l', {}, Buffer.from('newer'))
  for (const { answer } of scene.sent) answer.reject(new MqttasgiError('ERR_NOT_CONNECTED', 'Gone.'))
  t.deepEqual(await results[1], { reasonCode: 0, superseded: true })
  t.is(scene.outbox.size, 4)
  goOnline(scene)
  t.deepEqual(scene.topics().slice(3), ['a', 'b', 'c', 'l'])
  for (const { answer } of scene.sent) answer.resolve(DONE)
  t.deepEqual(await Promise.all([results[0], results[2], results[3], newer]), [DONE, DONE, DONE, DONE])
})

test('of two that come back from a connection that was gone the newer one counts', async (t) => {
  const scene = stageOutbox({ policy: { latest: ['#'] } })
  goOnline(scene, 2)
  const [older, newer] = ['1', '2'].map((text) => publish(scene, 'a', {}, Buffer.from(text)))
  for (const { answer } of scene.sent) answer.reject(new MqttasgiError('ERR_NOT_CONNECTED', 'Gone.'))
  t.deepEqual(await older, { reasonCode: 0, superseded: true })
  goOnline(scene, 2)
  t.deepEqual(
    scene.sent.slice(2).map(({ payload }) => payload.toString()),
    ['2'],
  )
  scene.sent[2]?.answer.resolve(DONE)
  t.deepEqual(await newer, DONE)
})

test('an error that is none of ours says that nobody knows', async (t) => {
  const scene = stageOutbox()
  goOnline(scene)
  const result = publish(scene, 'a')
  scene.sent[0]?.answer.reject(new TypeError('odd'))
  await rejectsWith(t, result, 'ERR_CONNECTION_CLOSED', /"a".*odd/)
})

test('it is idle when all have their answer', async (t) => {
  const scene = stageOutbox()
  await scene.outbox.idle()
  goOnline(scene)
  const results = [publish(scene, 'a'), publish(scene, 'b', { qos: 0 })]
  let idle = false
  const waiting = scene.outbox.idle().then(() => (idle = true))
  scene.sent[0]?.answer.resolve(DONE)
  await results[0]
  await settled()
  t.false(idle)
  scene.sent[1]?.answer.reject(new MqttasgiError('ERR_PUBLISH_REFUSED', 'No.'))
  await t.throwsAsync(Promise.resolve(results[1]))
  await waiting
  t.true(idle)
})

test('the end refuses what waits and what comes, and leaves what is under way to the connection', async (t) => {
  const scene = stageOutbox({ policy: { maxAgeMs: 1_000 } })
  goOnline(scene, 1)
  const results = [publish(scene, 'a'), publish(scene, 'b')]
  const idle = scene.outbox.idle()
  scene.outbox.close(STOPPED)
  scene.outbox.close(new MqttasgiError('ERR_CONNECT_NETWORK', 'Later.'))
  await rejectsWith(t, results[1], 'ERR_STOPPED')
  await rejectsWith(t, publish(scene, 'c'), 'ERR_STOPPED')
  await rejectsWith(t, publish(scene, 'd', { qos: 0 }), 'ERR_STOPPED')
  scene.sent[0]?.answer.resolve(DONE)
  t.deepEqual(await results[0], DONE)
  await idle
  t.deepEqual(scene.topics(), ['a'])
  t.is(scene.clock.timers, 0)
})

test('without a store, what the end found without an answer is lost', async (t) => {
  const scene = stageOutbox()
  t.true(await scene.outbox.release())
  goOnline(scene, 1)
  const result = publish(scene, 'a')
  scene.outbox.close(STOPPED)
  scene.sent[0]?.answer.reject(new MqttasgiError('ERR_CONNECTION_CLOSED', 'Gone.'))
  await rejectsWith(t, result, 'ERR_CONNECTION_CLOSED')
  t.false(await scene.outbox.release())
  t.deepEqual(scene.lines, [])
})
