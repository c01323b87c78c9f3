// How fast a consumer publishes is counted for each pattern that it has subscribed to, whatever its middleware.
import test from 'ava'
import { MqttConsumer, Router, type Context, type MqttasgiError } from '../../lib/index.ts'
import { MqttCommunicator } from '../../lib/testing/index.ts'

test('what receive() publishes is counted for its pattern, whichever middleware is around it', async (t) => {
  const refused: string[] = []
  class Echo extends MqttConsumer {
    static override readonly options = { maxPublishRate: 2 }
    static override readonly routes = Router().use('a/x', async (_ctx, next) => await next())

    override async connect(): Promise<void> {
      await this.subscribe('a/#')
      await this.subscribe('b')
    }

    override async receive({ topic }: Context): Promise<void> {
      await this.publish('out', topic).catch(
        ({ code }: MqttasgiError) => void refused.push(`${topic} ${code}`),
      )
    }
  }
  const echo = new MqttCommunicator(Echo)
  await echo.connect()
  t.teardown(() => echo.kill())
  for (const topic of ['a/x', 'a/y', 'a/x', 'b']) await echo.publish(topic, '')
  const said: string[] = []
  for (let at = 0; at < 4; at++) {
    const output = await echo.receiveFrom()
    if (output.type === 'mqtt.pub') said.push(output.mqtt.payload.toString())
  }
  t.deepEqual(said, ['a/x', 'a/y', 'b'])
  t.deepEqual(refused, ['a/x ERR_PUBLISH_RATE'])
})
