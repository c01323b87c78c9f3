// What carries channel events, decided: what the chosen layer needs is there.
import { assertPrefix } from '../core/channel-name.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import type { Choice } from './choice.ts'
import { placesInWords } from './options.ts'
import { redisUrl } from './redis-url.ts'
import type { ChannelSettings } from './settings.ts'

/** Codes: `ERR_CONFIG_VALUE`, `ERR_CONFIG_INCOMPLETE`. */
export function decideChannels(choice: Choice): ChannelSettings {
  const name = choice.text('channels.layer')
  const layer = name === 'redis' || name === 'mqtt' ? name : 'memory'
  return Object.freeze({
    layer,
    redis: layer === 'redis' ? redisOf(choice) : undefined,
    prefix: prefixOf(choice),
    capacity: choice.number('channels.capacity'),
    expiry: choice.number('channels.expiry'),
    groupExpiry: choice.number('channels.groupExpiry'),
    timeout: choice.number('channels.timeout'),
  })
}

function redisOf(choice: Choice): ChannelSettings['redis'] {
  const url = choice.text('channels.redis')
  if (url !== undefined) return redisUrl(url, choice, 'channels.redis')
  const message = `channels.layer is redis (${choice.source('channels.layer')}), and there is no channels.redis.`
  throw new MqttasgiError(
    'ERR_CONFIG_INCOMPLETE',
    `${message} Give its address as ${placesInWords('channels.redis')}.`,
  )
}

function prefixOf(choice: Choice): string {
  const prefix = choice.text('channels.prefix') ?? ''
  try {
    assertPrefix(prefix)
    return prefix
  } catch (cause) {
    const message = `channels.prefix (${choice.source('channels.prefix')}): ${toError(cause).message}`
    throw new MqttasgiError(choice.valueCode('channels.prefix'), message, { cause })
  }
}
