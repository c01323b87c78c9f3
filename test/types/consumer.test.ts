// What the compiler says of consumers and of the event protocol.
import test from 'ava'
import { expectTypeOf } from 'expect-type'
import {
  MqttConsumer,
  type ChannelHandlers,
  type ConsumerMessage,
  type Context,
  type IncomingEvent,
  type PublishResult,
  type RawApplication,
  type SubscribeResult,
} from '../../lib/index.ts'
import type { ChannelEvent } from '../../lib/core/channel-layer.ts'

test('params of the scope are those of the class, and unknown where it says nothing', (t) => {
  class Meter extends MqttConsumer<{ unit: string }> {
    override connect(): void {
      expectTypeOf(this.scope.params.unit).toEqualTypeOf<string>()
      // @ts-expect-error there is no such param
      void this.scope.params.size
      // @ts-expect-error who it is can not be changed
      this.scope.appId = 7
    }
  }
  class Plain extends MqttConsumer {
    override connect(): void {
      expectTypeOf(this.scope.params['unit']).toEqualTypeOf<unknown>()
    }
  }
  t.truthy([Meter, Plain])
})

test('a route of a consumer has the params of its literal, and this is the consumer', (t) => {
  class Doors extends MqttConsumer {
    count = 0
    override connect(): void {
      this.topic('doors/+door/#rest', function (ctx, next) {
        expectTypeOf(this.count).toEqualTypeOf<number>()
        expectTypeOf(ctx.params.door).toEqualTypeOf<string>()
        expectTypeOf(ctx.params.rest).toEqualTypeOf<string[]>()
        return next()
      })
      this.topic('doors/+door', { qos: 0 }, (ctx) => {
        expectTypeOf(ctx.params.door).toEqualTypeOf<string>()
        // @ts-expect-error the pattern has no such name
        return ctx.params.floor
      })
    }
  }
  t.truthy(Doors)
})

test('a message may be declared with the params that the mount gives', (t) => {
  class Floor extends MqttConsumer {
    override receive(message: Context<{ floor: string }>): void {
      expectTypeOf(message.params.floor).toEqualTypeOf<string>()
    }
  }
  class Any extends MqttConsumer {
    override receive(message: ConsumerMessage): void {
      expectTypeOf(message.params['floor']).toEqualTypeOf<string | string[] | undefined>()
      expectTypeOf(message.json()).toEqualTypeOf<unknown>()
    }
  }
  t.truthy([Floor, Any])
})

test('a channel event is handled by a method that takes it, and by no other name', (t) => {
  class Alarm extends MqttConsumer {
    static override readonly channelHandlers: ChannelHandlers<Alarm> = {
      'alarm.raised': 'onAlarm',
      'alarm.over'(event) {
        expectTypeOf(this).toEqualTypeOf<Alarm>()
        expectTypeOf(event).toEqualTypeOf<ChannelEvent>()
      },
      // @ts-expect-error there is no such method
      'alarm.missing': 'onMissing',
      // @ts-expect-error it is no method
      'alarm.count': 'count',
      // @ts-expect-error it takes something else
      'alarm.number': 'onNumber',
    }
    count = 0
    onAlarm(_event: ChannelEvent): void {}
    onNumber(_number: number): void {}
  }
  t.truthy(Alarm)
})

test('the events of the protocol are told apart by their type, and send resolves with what fits', (t) => {
  const application: RawApplication = async (scope, receive, send) => {
    expectTypeOf(scope.app_id).toEqualTypeOf<string | number>()
    expectTypeOf(scope['device_id']).toEqualTypeOf<unknown>()
    const event = await receive()
    expectTypeOf(event).toEqualTypeOf<IncomingEvent>()
    if (event.type === 'mqtt.msg') expectTypeOf(event.mqtt.payload).toEqualTypeOf<Buffer>()
    if (event.type === 'mqtt.connect') expectTypeOf(event.mqtt.session.present).toEqualTypeOf<boolean>()
    expectTypeOf(
      await send({ type: 'mqtt.sub', mqtt: { topic: 'a', qos: 1 } }),
    ).toEqualTypeOf<SubscribeResult>()
    expectTypeOf(await send({ type: 'mqtt.pub', mqtt: { topic: 'a' } })).toEqualTypeOf<PublishResult>()
    expectTypeOf(await send({ type: 'mqtt.usub', mqtt: { topic: 'a' } })).toEqualTypeOf<undefined>()
    // @ts-expect-error there is no such event
    await send({ type: 'mqtt.msg', mqtt: { topic: 'a' } })
    // @ts-expect-error there is no QoS 3
    await send({ type: 'mqtt.sub', mqtt: { topic: 'a', qos: 3 } })
  }
  t.is(application.length, 3)
})
