// What the handlers have to say, with the topic it is about.
import type { Context } from 'mqttasgi'

export function say(ctx: Context, text: string): void {
  ctx.log.info(text, { topic: ctx.topic })
}
