// mqttasgi channel: sends one event over the channel layer of the configuration, to a channel or to a group.
import { openChannelLayer } from '../channel-layer.ts'
import { encodeEvent } from '../core/channel-event.ts'
import type { ChannelEvent } from '../core/channel-layer.ts'
import { assertChannel, assertGroup } from '../core/channel-name.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import { show } from '../config/value.ts'
import type { Settings } from '../config/settings.ts'
import { type Command, type CommandContext, configure } from './command.ts'
import { exitCodes } from './exit-codes.ts'

/** What is sent, and where to. */
export interface ChannelQuestion {
  readonly action: 'send' | 'group-send'
  readonly name: string
  readonly event: ChannelEvent
}

/** Resolves when the layer has the event. */
export const channel: Command = async (context) => {
  const { action, name, event } = readChannelQuestion(context.invocation.channel ?? [])
  const { settings } = await configure(context)
  const { terminal } = context
  if (settings.channels.layer === 'memory') {
    const where = settings.sources['channels.layer'] ?? 'default'
    const message = `channels.layer is memory (${where}), and only this process, which ends now, would see the event.`
    throw new MqttasgiError('ERR_CONFIG_CONFLICT', `${message} Give --channel-layer redis or mqtt.`)
  }
  const progress = { isSending: false }
  const sending = sent(context, settings, { action, name, event }, progress)
  // What comes of it after a signal is of no interest: the process ends.
  sending.catch(() => {})
  const over = await Promise.race([sending, context.signals.first.then((signal) => ({ signal }))])
  if ('signal' in over) {
    const fate = progress.isSending ? 'whether the event was sent is not known' : 'nothing was sent'
    terminal.say(`interrupted: ${fate}`)
    return exitCodes[over.signal]
  }
  const to = action === 'send' ? 'channel' : 'group'
  terminal.say(`sent ${event.type} to the ${to} ${name} over ${over.layer}`)
  return exitCodes.clean
}

/** Resolves with the name of the layer when it has the event. */
async function sent(
  { terminal }: CommandContext,
  settings: Settings,
  { action, name, event }: ChannelQuestion,
  progress: { isSending: boolean },
): Promise<{ readonly layer: string }> {
  const layer = await openChannelLayer(settings, {
    log: terminal.log(settings.verbosity),
    secret: (password) => terminal.hide(password),
  })
  try {
    progress.isSending = true
    await (action === 'send' ? layer.send(name, event) : layer.groupSend(name, event))
    return { layer: layer.name }
  } finally {
    await layer.close()
  }
}

/**
 * The words behind `channel`: `send` or `group-send`, a name, and an event as JSON or as its type and fields. Code:
 * `ERR_USAGE`.
 */
export function readChannelQuestion([action, name, ...words]: readonly string[]): ChannelQuestion {
  if (action !== 'send' && action !== 'group-send') {
    const got = action === undefined ? 'nothing' : show(action)
    throw usage(`expected send or group-send behind channel, got ${got}`)
  }
  if (name === undefined || words.length === 0) {
    const to = action === 'send' ? 'channel' : 'group'
    throw usage(`channel ${action} takes the name of a ${to} and an event, as in ${exampleOf(action)}`)
  }
  const event = eventOf(words)
  try {
    if (action === 'send') assertChannel(name)
    else assertGroup(name)
    encodeEvent(event)
  } catch (cause) {
    throw usage(toError(cause).message.replace(/\.$/, ''), cause)
  }
  return { action, name, event }
}

function eventOf([first = '', ...fields]: readonly string[]): ChannelEvent {
  if (!first.trimStart().startsWith('{')) {
    const entries = fields.map((word) => fieldOf(word, first))
    const names = entries.map(([name]) => name)
    const twice = names.find((name, index) => names.indexOf(name) < index)
    if (twice !== undefined) throw usage(`the field ${show(twice)} is said twice: leave one of them out`)
    return Object.assign(Object.fromEntries(entries), { type: first })
  }
  try {
    const event = JSON.parse(first) as ChannelEvent
    if (fields.length === 0) return event
  } catch (cause) {
    if (fields.length > 0) throw usage('an event as JSON is one word: put it into quotes', cause)
    throw usage(`the event is not JSON: ${toError(cause).message}`, cause)
  }
  const more = fields.map(show).join(' ')
  throw usage(`the event is JSON, and there is ${more} behind it: write it into the JSON, or leave it out`)
}

// What reads as JSON is that: a number, true, null, a list; everything else is a text.
function fieldOf(word: string, type: string): readonly [string, unknown] {
  const at = word.indexOf('=')
  const key = word.slice(0, at)
  if (key === 'type') {
    const mend = 'give the field another name, or say the type there'
    throw usage(`the field "type" is taken: it is the type of the event, ${show(type)}: ${mend}`)
  }
  if (at < 1) {
    throw usage(`behind the type of an event stand its fields as key=value, and ${show(word)} is none`)
  }
  const text = word.slice(at + 1)
  try {
    return [key, JSON.parse(text)]
  } catch {
    return [key, text]
  }
}

function exampleOf(action: string): string {
  return `mqttasgi channel ${action} alarms alarm.raised room=hall celsius=85`
}

function usage(message: string, cause?: unknown): MqttasgiError {
  return new MqttasgiError('ERR_USAGE', `${message}.`, cause === undefined ? {} : { cause })
}
