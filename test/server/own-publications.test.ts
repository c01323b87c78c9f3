import test from 'ava'
import { resolveOptions } from '../../lib/config/load.ts'
import { ownPublications } from '../../lib/server-terms.ts'
import { heardByRoutes } from '../../lib/server/own-publications.ts'
import { interest } from '../helpers/interest.ts'

const letters = { filter: 'dead', what: 'each dead letter' }
const events = { filter: 'asgi/#', topics: ['asgi/flush', 'asgi/groups/+'], what: 'the channel layer' }

test('routes that hear more than they are for are named, for each thing that is published', (t) => {
  const interests = [interest('#'), interest('+'), interest('a/+'), interest('asgi/groups/#')]
  t.deepEqual(heardByRoutes(interests, [letters, events], 5), [
    '"#" also hears each dead letter',
    '"#" also hears the channel layer',
    '"+" also hears each dead letter',
  ])
  t.deepEqual(heardByRoutes([interest('+/+'), interest('+/+')], [letters, events], 5), [
    '"+/+" also hears the channel layer',
  ])
  t.deepEqual(heardByRoutes([interest('+/sensors/7/temp')], [letters, events], 5), [])
  t.deepEqual(heardByRoutes([interest('a/#'), interest('b', { noLocal: true })], [letters, events], 5), [])
  t.deepEqual(heardByRoutes([interest('#')], [], 5), [])
})

test('who asks for nothing else wants to hear it', (t) => {
  t.deepEqual(heardByRoutes([interest('dead'), interest('asgi/#')], [letters, events], 5), [])
})

test('noLocal keeps it away where the protocol has it', (t) => {
  const interests = [interest('+', { noLocal: true }), interest('de/+')]
  t.deepEqual(heardByRoutes(interests, [letters], 5), [])
  t.deepEqual(heardByRoutes(interests, [letters], 4), ['"+" also hears each dead letter'])
})

test('a server publishes dead letters and channel events where the settings say so', (t) => {
  t.deepEqual(ownPublications(resolveOptions({})), [])
  const settings = resolveOptions({
    deadLetter: { store: 'topic', topic: 'dead' },
    channels: { layer: 'mqtt', prefix: 'ours' },
  })
  t.deepEqual(ownPublications(settings), [
    { filter: 'dead', what: 'each dead letter (deadLetter.topic "dead")' },
    {
      filter: 'ours/#',
      topics: ['ours/flush', 'ours/groups/+', 'ours/channels/+', 'ours/receivers/+', 'ours/processes/+/+'],
      what: 'the channel layer (below "ours")',
    },
  ])
})
