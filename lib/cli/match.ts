// mqttasgi match: which layers would run for a topic, in order, with their parameters.
import type { Layer } from '../core/layer.ts'
import type { Message } from '../core/message.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import { pattern } from '../core/pattern.ts'
import { assertTopic, matches } from '../core/topic.ts'
import { type Command, configure } from './command.ts'
import { exitCodes } from './exit-codes.ts'
import { knownLater, type Placed, placedApplications, titleOf } from './placed.ts'
import { alignColumns } from './tree.ts'

/** Prints what would happen to a message; nothing is run, and nothing connected to. */
export const match: Command = async (context) => {
  const topic = checkedTopic(context.invocation.topic ?? '')
  const placed = await placedApplications(await configure(context))
  for (const one of placed) {
    context.terminal.print(titleOf(one))
    const later = knownLater(one)
    const what = isUnder(one.mount, topic) ? later : '   nothing outside of its mount comes to it'
    const lines = [...linesFor(one, topic), ...(later === undefined ? [] : [what])]
    context.terminal.print(`${lines.join('\n')}\n`)
  }
  return exitCodes.clean
}

function isUnder(mount: string, topic: string): boolean {
  return mount === '' || matches(`${pattern(mount).filter}/#`, topic)
}

function checkedTopic(topic: string): string {
  try {
    assertTopic(topic)
    return topic
  } catch (error) {
    throw new MqttasgiError('ERR_USAGE', toError(error).message, { cause: error, topic })
  }
}

function linesFor({ id, mount, application, open }: Placed, topic: string): readonly string[] {
  if (application === undefined) return []
  const receiver = application.receiver({ id, mount })
  try {
    const { layers, routes } = receiver.plan(messageOn(topic))
    // Where no route matches, the last layer is the one that asks onUnmatched.
    const matched = routes.length === 0 ? layers.slice(0, -1) : layers
    const lines = alignColumns(matched.map((layer, index) => cellsOf(layer, index, topic)))
    if (routes.length > 0) return lines
    const nobody =
      open === undefined ? unmatched(application.unmatchedHandlers.length) : 'no static route matches'
    return [...lines, `  ${nobody}`]
  } finally {
    receiver.release()
  }
}

function cellsOf(layer: Layer, index: number, topic: string): readonly string[] {
  const params = Object.entries(layer.pattern?.match(topic) ?? {}).map(
    ([name, value]) => `${name} = ${JSON.stringify(value)}`,
  )
  const kind = layer.route === undefined ? 'middleware' : shareOf(layer.route.share)
  return [`  ${index + 1}`, kind, layer.pattern?.text ?? '(every topic)', layer.name, params.join(', ')]
}

function shareOf(share: string | undefined): string {
  return share === undefined ? 'route' : `route, share ${share}`
}

function unmatched(handlers: number): string {
  const then = handlers === 0 ? '' : `; a message that comes all the same goes to onUnmatched`
  return `no route matches, so nothing here subscribes to it${then}`
}

function messageOn(topic: string): Message {
  return { topic, payload: Buffer.alloc(0), qos: 1, retain: false, dup: false, properties: {}, share: null }
}
