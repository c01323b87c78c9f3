import test from 'ava'
import { mqttasgi } from '../../lib/core/application.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import type { DeadLetter } from '../../lib/core/dead-letter.ts'
import { ReplayTransport } from '../../lib/cli/replay-transport.ts'
import { MemoryTransport } from '../../lib/testing/memory-transport.ts'
import { settled } from '../helpers/fake-clock.ts'
import { stageServer } from '../helpers/staged-server.ts'

const letter: DeadLetter = {
  id: '1',
  topic: 'a',
  payload: Buffer.from('x'),
  qos: 1,
  retain: false,
  dup: false,
  properties: {},
  cause: 'failed',
  error: { name: 'Error', message: 'no', code: undefined },
  receiver: 'application',
  route: 'a',
  share: null,
  attempts: 3,
  arrivedAt: 0,
  deadAt: 0,
  clientId: 'me',
}

test('a letter is acknowledged when it is handled, and one whose connection ends is told of instead of waited for', async (t) => {
  const app = mqttasgi()
  const ends = [new Deferred(), new Deferred()]
  let runs = 0
  app.topic('a', () => ends[runs++]?.promise)
  const inner = new MemoryTransport()
  const transport = new ReplayTransport(inner)
  const { server } = stageServer(t, app, { transport })
  await server.start()
  const first = transport.hand(letter)
  ends[0]?.resolve()
  await first
  const second = t.throwsAsync(transport.hand(letter), { code: 'ERR_CONNECTION_CLOSED' })
  await settled()
  t.is(runs, 2)
  inner.lose()
  await second
  ends[1]?.resolve()
})
