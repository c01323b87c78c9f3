// The desk of a thread: what a thread has joined it has left when it is gone.
import test from 'ava'
import { InMemoryChannelLayer } from '../../lib/channels/memory.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { unattachedClient } from '../../lib/core/unattached-client.ts'
import { Desk } from '../../lib/workers/desk.ts'
import type { ThreadCall } from '../../lib/workers/wire.ts'

/** As over a network, groups are joined and left when it answers. */
class SlowLayer extends InMemoryChannelLayer {
  answers = new Deferred()

  override async groupAdd(group: string, channel: string): Promise<void> {
    await this.answers.promise
    await super.groupAdd(group, channel)
  }

  override async groupDiscard(group: string, channel: string): Promise<void> {
    const { promise } = this.answers
    await super.groupDiscard(group, channel)
    await promise
  }
}

function deskAt(layer: SlowLayer): Desk {
  return new Desk({ post() {} }, () => unattachedClient, { channels: layer })
}

function asked(method: string, ...args: readonly unknown[]): ThreadCall {
  return { type: 'call', call: 1, target: 'channels', method, args }
}

/** Whether events for the group come to the channel. */
async function isMember(layer: SlowLayer, channel: string): Promise<boolean> {
  await layer.groupSend('g', { type: 'a.b' })
  const controller = new AbortController()
  const receiving = layer.receive(channel, controller.signal)
  controller.abort(new Error('none'))
  return receiving.then(
    () => true,
    () => false,
  )
}

test('a thread that ends while it joins a group is in no group', async (t) => {
  const layer = new SlowLayer()
  t.teardown(() => layer.close())
  const channel = await layer.newChannel()
  const desk = deskAt(layer)
  const joining = desk.asked(asked('groupAdd', 'g', channel))
  const closing = desk.close()
  layer.answers.resolve()
  await Promise.all([joining, closing])
  t.false(await isMember(layer, channel))
})

test('a thread that leaves a group and joins it again meanwhile has left it when it ends', async (t) => {
  const layer = new SlowLayer()
  t.teardown(() => layer.close())
  const channel = await layer.newChannel()
  const desk = deskAt(layer)
  layer.answers.resolve()
  await desk.asked(asked('groupAdd', 'g', channel))
  t.true(await isMember(layer, channel))
  const late = new Deferred()
  layer.answers = late
  const leaving = desk.asked(asked('groupDiscard', 'g', channel))
  layer.answers = new Deferred()
  layer.answers.resolve()
  await desk.asked(asked('groupAdd', 'g', channel))
  late.resolve()
  await leaving
  t.true(await isMember(layer, channel))
  await desk.close()
  t.false(await isMember(layer, channel))
})
