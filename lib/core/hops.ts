// How many publications lie between a message and the first one it follows from, so that a loop ends.
import { MqttasgiError } from './errors.ts'
import type { PublishOptions, PublishProperties } from './message.ts'
import { isObject } from './publish-options.ts'

/** The user property that carries the number. */
export const HOPS = 'mqttasgi-hops'

/** The number a message carries; 0 when it carries none, the largest when several, and no number is none. */
export function hopsOf(properties: Pick<PublishProperties, 'userProperties'> = {}): number {
  const { userProperties } = properties
  if (userProperties === undefined || !Object.hasOwn(userProperties, HOPS)) return 0
  const texts = [userProperties[HOPS] ?? []].flat()
  return Math.max(0, ...texts.map((text) => (/^\d+$/.test(text) ? Number(text) : 0)))
}

/** `options` of a publication that a message with so many hops has led to. */
export function oneHopOn(hops: number, options: PublishOptions = {}): PublishOptions {
  // What is none is refused as it was given.
  if (!isObject(options)) return options
  const { properties } = options
  if (properties !== undefined && !isObject(properties)) return options
  const userProperties = { ...properties?.userProperties, [HOPS]: String(hops + 1) }
  return { ...options, properties: { ...properties, userProperties } }
}

/** Why a publication that has come so far is not sent; undefined when it may be. `maxHops` 0 allows all. */
export function loopError(
  topic: string,
  { properties }: PublishOptions,
  maxHops: number,
): MqttasgiError | undefined {
  if (maxHops === 0 || properties?.userProperties === undefined) return undefined
  const hops = hopsOf(properties)
  if (hops <= maxHops) return undefined
  return new MqttasgiError(
    'ERR_PUBLISH_LOOP',
    `"${topic}" was not published: ${hops - 1} publications led to this one, each made by the handler of the one before it, and maxHops is ${maxHops}. Most likely they go round in a circle.`,
    { topic },
  )
}
