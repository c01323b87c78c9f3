// A receiver that is detached in each moment of its coming: its place is kept whole, and nothing in it is lost.
import test from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { Guest } from '../helpers/guest.ts'
import { turns } from '../helpers/memory-server.ts'
import { stageServer } from '../helpers/staged-server.ts'

// More than it takes to come.
const MOMENTS = 40

for (const keepSubscriptions of [true, false]) {
  test(`one that is detached while it comes, its subscriptions ${keepSubscriptions ? '' : 'not '}kept, has come or is told that it has not`, async (t) => {
    const { server, transport } = stageServer(t, mqttasgi())
    await server.start()
    const ends = new Set<string>()
    for (let moment = 0; moment < MOMENTS; moment++) {
      const id = `guest ${moment}`
      const [first, second, third] = Array.from({ length: 3 }, () => new Guest(id, [`${moment}/+`]))
      await server.attach(first!)
      await server.detach(first!, { keepSubscriptions: true })
      transport.deliver(`${moment}/1`, 'one')
      await turns()
      const attached = server.attach(second!).then(
        () => 'attached',
        (error: unknown) => (error instanceof MqttasgiError ? error.code : String(error)),
      )
      for (let i = 0; i < moment; i++) await Promise.resolve()
      await server.detach(second!, { keepSubscriptions })
      const end = await attached
      ends.add(end)
      transport.deliver(`${moment}/1`, 'two')
      await turns()
      await server.attach(third!)
      await turns()
      t.deepEqual(second!.seen, end === 'attached' ? ['one'] : [], `at moment ${moment}`)
      const left = end === 'attached' || !keepSubscriptions ? [] : ['one']
      t.deepEqual(third!.seen, keepSubscriptions ? [...left, 'two'] : [], `at moment ${moment}`)
    }
    t.deepEqual([...ends].sort(), ['ERR_RECEIVER_DETACHED', 'attached'])
  })
}
