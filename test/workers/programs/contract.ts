// What each host of workers runs in its contract: an application, a consumer, and one that can not begin.
import { mqttasgi, MqttConsumer, type Application } from '../../../lib/index.ts'
import type { ConsumerMessage, DisconnectReason } from '../../../lib/index.ts'

export const app: Application = mqttasgi()
app.topic('rooms/+room/temp', async (ctx) => {
  if (ctx.text() === 'broken') throw new Error('broken it is')
  if (ctx.text() === 'wait') await new Promise(() => {})
  const { floor, room } = ctx.params as { floor?: string; room: string }
  const { to = 'seen' } = ctx.scope.params as { to?: string }
  await ctx.publish([to, ...(floor === undefined ? [] : [floor]), room].join('/'), ctx.payload)
})

/** In the group `alarms` as an application. */
export const listening: Application = mqttasgi()
listening.channel('alarm.raised', { group: 'alarms' }, (event, ctx) =>
  ctx.publish('heard', String(event['text'])),
)

export class Meter extends MqttConsumer {
  #total = 0

  override async connect(): Promise<void> {
    await this.subscribe('meters/+')
  }

  override async receive(message: ConsumerMessage): Promise<void> {
    this.#total += Number(message.text())
    await this.publish('total', String(this.#total))
  }

  override async disconnect({ type }: DisconnectReason): Promise<void> {
    await this.publish('bye', type)
  }
}

export class Unable extends MqttConsumer {
  override connect(): void {
    throw new Error('not today')
  }
}

/** In the group `alarms`; what it hears it publishes, and what it is told it sends. */
export class Listener extends MqttConsumer {
  static override channelHandlers = {
    'alarm.raised': 'raised',
    'alarm.bytes': 'raised',
  }

  override async connect(): Promise<void> {
    await this.groupAdd('alarms')
    await this.subscribe('tell')
  }

  async raised(event: { readonly text: string }): Promise<void> {
    await this.publish('heard', event.text)
  }

  override async receive(message: ConsumerMessage): Promise<void> {
    await this.groupSend('alarms', { type: 'alarm.raised', text: message.text() })
  }
}
