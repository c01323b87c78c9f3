// What an application subscribes to by hand lies under its mount.
import test from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import { mountedClient, mountedFilter } from '../../lib/core/mounted-client.ts'
import type { Client } from '../../lib/core/receiver.ts'
import { dispatch } from '../../lib/testing/dispatch.ts'

test('a filter under a mount loses its names and keeps its group in front', (t) => {
  t.is(mountedFilter('building/+floor', 'temp'), 'building/+/temp')
  t.is(mountedFilter('building/+floor', '$share/g/+/temp'), '$share/g/building/+/+/temp')
  t.is(mountedFilter('', 'a/#'), 'a/#')
})

test('subscriptions are mounted, publications are not, and the result names what was asked for', async (t) => {
  const asked: string[] = []
  const client: Client = {
    publish: async (topic) => (asked.push(topic), { reasonCode: 0 }),
    subscribe: async (filter) => (asked.push(filter), { filter, qos: 1 }),
    unsubscribe: async (filter) => void asked.push(filter),
  }
  const mounted = mountedClient(client, 'a/+b')
  t.deepEqual(await mounted.subscribe('c'), { filter: 'c', qos: 1 })
  await mounted.unsubscribe('c')
  await mounted.publish('c', '')
  t.deepEqual(asked, ['a/+/c', 'a/+/c', 'c'])
  await t.throwsAsync(mounted.subscribe('c/#/d'), { code: 'ERR_FILTER_INVALID' })
  await t.throwsAsync(mounted.unsubscribe('+name'), { code: 'ERR_FILTER_INVALID' })
  t.is(mountedClient(client, ''), client)
})

test('ctx.subscribe of a mounted application goes under the mount', async (t) => {
  const app = mqttasgi()
  app.topic('start', (ctx) => ctx.subscribe('more/+'))
  const { subscribed } = await dispatch(app, 'building/2/start', '', { mount: 'building/+floor' })
  t.deepEqual(
    subscribed.map(({ filter }) => filter),
    ['building/+/more/+'],
  )
})
