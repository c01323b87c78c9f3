// The end of a consumer: what it is told, how long it has for that, and that nothing comes behind it.
import test from 'ava'
import { InMemoryChannelLayer } from '../../lib/channels/memory.ts'
import { MqttConsumer } from '../../lib/consumer/consumer.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import { silentLog } from '../../lib/core/log.ts'
import { hosted } from '../helpers/consumer-server.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { turns } from '../helpers/memory-server.ts'
import { recordingClient, session } from '../helpers/worker-place.ts'

test('a consumer that has said farewell hears nothing of a connection that was lost meanwhile', async (t) => {
  const told: string[] = []
  const gate = new Deferred()
  class Closing extends MqttConsumer {
    override connect(): void {
      told.push('connect')
      if (told.length > 1) throw new Error('no sensor')
    }
    override connectionLost(): void {
      told.push('connectionLost')
    }
    override async disconnect(): Promise<void> {
      told.push('disconnect')
      await gate.promise
    }
  }
  const receiver = hosted(Closing)
  await receiver.connected(recordingClient(), session)
  const again = receiver.connected(recordingClient(), session)
  const lost = receiver.disconnected({ type: 'lost' })
  gate.resolve()
  await Promise.all([again, lost])
  t.deepEqual(told, ['connect', 'connect', 'disconnect'])
  receiver.release()
})

/** As one whose Redis is away. */
class NeverLeft extends InMemoryChannelLayer {
  override groupDiscard(): Promise<void> {
    return new Promise(() => {})
  }
}

class Member extends MqttConsumer {
  override async connect(): Promise<void> {
    await this.groupAdd('g')
  }
}

class EndlessMember extends Member {
  override disconnect(): Promise<void> {
    return new Promise(() => {})
  }
}

test('what of a farewell has not ended is named, and nothing else', async (t) => {
  const lateIn = async (one: typeof Member): Promise<readonly string[]> => {
    const clock = new FakeClock()
    const warnings: string[] = []
    const log = { ...silentLog, warn: (line: string) => warnings.push(line) }
    const receiver = hosted(one, { clock, channels: new NeverLeft(), log })
    await receiver.connected(recordingClient(), session)
    const over = receiver.disconnected({ type: 'killed' })
    await turns()
    clock.advance(5_000)
    await over
    receiver.release()
    return warnings
  }
  const groups = 'Leaving the groups of "application" has not ended within 5 s, and is not waited for.'
  t.deepEqual(await lateIn(Member), [groups])
  const disconnect = 'disconnect() of "application" has not ended within 5 s, and is not waited for.'
  t.deepEqual(await lateIn(EndlessMember), [disconnect, groups])
})

test('what connect() fails of because the server stops is told as no failure', async (t) => {
  for (const [error, said] of [
    [new MqttasgiError('ERR_STOPPED', 'The server has been stopped.'), []],
    [new Error('no sensor'), ['"application" has failed: no sensor']],
  ] as const) {
    class Failing extends MqttConsumer {
      override connect(): void {
        throw error
      }
    }
    const lines: string[] = []
    const log = { ...silentLog, error: (line: string) => void lines.push(line) }
    const receiver = hosted(Failing, { log })
    await receiver.connected(recordingClient(), session)
    t.is(await receiver.ended, error)
    t.deepEqual(lines, said)
    receiver.release()
  }
})
