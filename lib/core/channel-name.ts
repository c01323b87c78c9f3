// The names of channels and groups, as the Channel Layers specification has them.
import { MqttasgiError } from './errors.ts'
import { inLog } from './log.ts'

const LONGEST = 99
const NAME = /^[\w.-]+$/
const CHANNEL = /^[\w.-]+(?:![\w.-]+)?$/
const WHAT = 'fewer than 100 letters of ASCII, digits, hyphens, underscores and periods'

/** Throws `ERR_CHANNEL_NAME` for what is no channel: `alarms`, or `specific.a1b2!c3d4` for one of a single process. */
export function assertChannel(name: string): void {
  if (isName(name, CHANNEL)) return
  throw refused(
    'channel',
    name,
    `${WHAT}; a ! stands only between the process and the rest of a name that newChannel() has made`,
  )
}

/** Throws `ERR_CHANNEL_NAME` for what is no group. */
export function assertGroup(name: string): void {
  if (!isName(name, NAME)) throw refused('group', name, WHAT)
}

/** Throws `ERR_CHANNEL_NAME` for what can not begin the names of channels. */
export function assertPrefix(name: string): void {
  if (!isName(name, NAME)) throw refused('prefix of channels', name, WHAT)
}

/** Throws `ERR_CHANNEL_NAME` for a channel that only another process than `client` may receive from. */
export function assertOwn(channel: string, client: string): void {
  assertChannel(channel)
  const owner = ownerOf(channel)
  if (owner === undefined || owner.endsWith(`.${client}`)) return
  throw new MqttasgiError(
    'ERR_CHANNEL_NAME',
    `Another process alone receives from the channel "${channel}". Receive from one that newChannel() of this layer has made, or from one without a !.`,
  )
}

/** The process that alone receives from a channel: `specific.a1b2` of `specific.a1b2!c3d4`; undefined where any may. */
export function ownerOf(channel: string): string | undefined {
  const at = channel.indexOf('!')
  return at === -1 ? undefined : channel.slice(0, at)
}

/** A channel of the process `client`. Throws `ERR_CHANNEL_NAME` where the prefix makes it too long. */
export function localChannel(prefix: string, client: string, unique: string): string {
  assertPrefix(prefix)
  const name = `${prefix}.${client}!${unique}`
  assertChannel(name)
  return name
}

function isName(name: unknown, form: RegExp): boolean {
  return typeof name === 'string' && name.length <= LONGEST && form.test(name)
}

function refused(what: string, name: unknown, expected: string): MqttasgiError {
  const shown = typeof name === 'string' ? JSON.stringify(inLog(name)) : `a value of type ${typeof name}`
  return new MqttasgiError(
    'ERR_CHANNEL_NAME',
    `The name of a ${what} is expected to be ${expected}, and is ${shown}.`,
  )
}
