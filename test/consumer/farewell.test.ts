// The end of a consumer: what it is told, how long it has for that, and that nothing comes behind it.
import test from 'ava'
import { MqttConsumer } from '../../lib/consumer/consumer.ts'
import { Deferred } from '../../lib/core/deferred.ts'
import { hosted } from '../helpers/consumer-server.ts'
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
