// A watch finds while it passes what the check of a whole log finds, and across connections that have closed.
import test from 'ava'
import { generate, type Packet } from 'mqtt-packet'
import type { Direction } from './fault-proxy.ts'
import { sentences, WireWatch } from './wire-watch.ts'

/** A watch and the bytes of a client of MQTT 5, written by hand. */
function session(watch: WireWatch): (connection: number, direction: Direction, packet: Packet) => void {
  return (connection, direction, packet) => {
    const hello = packet.cmd === 'connect'
    if (hello) watch.open(connection)
    watch.bytes(connection, direction, generate(packet, { protocolVersion: 5 }))
  }
}

const connect: Packet = { cmd: 'connect', clientId: 'one', clean: false, keepalive: 0, protocolVersion: 5 }

function publish(messageId: number): Packet {
  const payload = `m${messageId}`
  return { cmd: 'publish', topic: 't', payload, qos: 1, dup: false, retain: false, messageId }
}

function puback(messageId: number): Packet {
  return { cmd: 'puback', messageId, reasonCode: 0 }
}

test('what is wrong is known at once, also of a connection that has closed', (t) => {
  const watch = new WireWatch()
  const say = session(watch)
  say(1, 'up', connect)
  for (const messageId of [1, 2]) say(1, 'down', publish(messageId))
  say(1, 'up', puback(2))
  t.deepEqual(sentences(watch.violations), [
    'order on connection 1: PUBACK 2: message 1 was received before it',
  ])
  watch.close(1)
  say(2, 'up', connect)
  say(2, 'up', puback(1))
  say(2, 'up', puback(3))
  watch.close(2)
  t.deepEqual(sentences(watch.violations).slice(1), [
    'stale on connection 2: PUBACK 1: came on an older connection and not on this one',
    'unknown on connection 2: PUBACK 3: no such message was received',
  ])
})

test('no server was done with it, or it was', (t) => {
  const watch = new WireWatch({ concluded: true })
  const say = session(watch)
  say(1, 'up', connect)
  for (const messageId of [1, 2]) say(1, 'down', publish(messageId))
  watch.concluded('t m1')
  for (const messageId of [1, 2]) say(1, 'up', puback(messageId))
  t.deepEqual(sentences(watch.violations), [
    'early on connection 1: PUBACK 2: no server was done with "t m2"',
  ])
})

test('of many violations the first few are said, and how many there are', (t) => {
  const watch = new WireWatch()
  const say = session(watch)
  say(1, 'up', connect)
  for (let messageId = 1; messageId <= 7; messageId++) say(1, 'up', puback(messageId))
  const said = sentences(watch.violations)
  t.is(said.length, 6)
  t.is(said.at(-1), 'and 2 more')
})
