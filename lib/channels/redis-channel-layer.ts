// A channel layer over Redis: the same channels and groups for all processes that use the same prefix; long, for it has every operation of a layer.
import { randomBytes } from 'node:crypto'
import { reconnectBackoff } from '../core/backoff.ts'
import { decodeEvent, encodeEvent } from '../core/channel-event.ts'
import {
  zeroChannelCounters,
  type ChannelCounters,
  type ChannelEvent,
  type ChannelLayer,
  type ChannelLimits,
} from '../core/channel-layer.ts'
import {
  assertChannel,
  assertGroup,
  assertOwn,
  assertPrefix,
  localChannel,
  processOf,
} from '../core/channel-name.ts'
import { MqttasgiError } from '../core/errors.ts'
import { silentLog, type Logger } from '../core/log.ts'
import { traceChannelLoss } from '../core/trace.ts'
import { redisAddress } from '../redis/open.ts'
import { systemClock } from '../system-clock.ts'
import { endedWithin } from '../time-limit.ts'
import {
  assertSignal,
  channelsClosed,
  channelsFull,
  decidedLimits,
  LAST_MS,
  type DecidedLimits,
} from './limits.ts'
import { RedisIntake } from './redis-intake.ts'
import { RedisKeys } from './redis-keys.ts'
import { RedisLink } from './redis-link.ts'
import { RedisMemberships } from './redis-memberships.ts'
import { RedisPresence } from './redis-presence.ts'
import { channelScripts } from './redis-scripts.ts'

/** Which Redis, and how much may be in it. */
export interface RedisChannelLayerOptions extends ChannelLimits {
  /** `redis://` or `rediss://`, with its password. */
  readonly url: string
  /** Begins the names of all keys; layers with another one do not hear each other. Default: asgi. */
  readonly prefix?: string | undefined
  /** Seconds that an operation may take, and an attempt to connect. Default: 5. */
  readonly timeout?: number | undefined
  /** Is told when Redis is lost, does not answer those who receive, or has lost its data. Default: nobody. */
  readonly log?: Logger | undefined
  /** For tests: what gets ioredis. */
  readonly importRedis?: (() => Promise<unknown>) | undefined
}

const END_DIGITS = 13
const CHANNELS_AT_ONCE = 100

/**
 * A channel layer over Redis 5 or newer, for which `ioredis` must be installed. An event is in Redis until somebody
 * receives it; two connections serve all channels of a process. When Redis does not answer, `send()` and all others reject
 * with `ERR_CHANNEL_LAYER` within `timeout`, and `receive()` goes on when it is back.
 *
 * @example
 * const layer = new RedisChannelLayer({ url: 'redis://localhost:6379' })
 * await layer.groupSend('alarms', { type: 'alarm.raised', room: 'hall' })
 * await layer.close()
 */
export class RedisChannelLayer implements ChannelLayer {
  readonly name: string
  readonly counters: Readonly<ChannelCounters>
  readonly groupExpiry: number
  readonly #counters: ChannelCounters
  readonly #client = randomBytes(9).toString('base64url')
  readonly #limits: DecidedLimits
  readonly #keys: RedisKeys
  readonly #link: RedisLink
  readonly #intake: RedisIntake
  readonly #memberships: RedisMemberships
  readonly #presence: RedisPresence
  #isClosed = false
  #closing: Promise<void> | undefined = undefined

  /** Connects when it is used. Throws `ERR_CONFIG_VALUE` for a limit that is none, `ERR_CHANNEL_NAME` for a prefix. */
  constructor({
    url,
    prefix = 'asgi',
    timeout = 5,
    log = silentLog,
    importRedis,
    ...limits
  }: RedisChannelLayerOptions) {
    assertPrefix(prefix)
    const address = redisAddress(url)
    this.name = `redis ${address}`
    this.counters = this.#counters = zeroChannelCounters()
    this.#limits = decidedLimits(limits)
    this.groupExpiry = this.#limits.groupExpiryMs / 1_000
    this.#memberships = new RedisMemberships(systemClock, this.#limits.groupExpiryMs)
    const keys = (this.#keys = new RedisKeys(prefix))
    const presence = (this.#presence = new RedisPresence({
      keys,
      client: this.#client,
      memberships: this.#memberships,
      restored: (channels) =>
        log.warn(
          `${this.name} has lost its data, and with it the events that waited there: ${channels === 1 ? 'one channel was' : `${channels} channels were`} put into groups again.`,
        ),
    }))
    const link = (this.#link = new RedisLink({
      url,
      address,
      timeoutMs: timeout * 1_000,
      purpose: 'Channel layers in Redis',
      importRedis,
      beat: (redis) => presence.beat(redis),
      lost: (reason) =>
        log.warn(`${reason} Channel events wait until it is back, which is tried again and again.`),
      farewell: (redis) => presence.farewell(redis),
      rung: (_bell, channel) => this.#intake.rung(channel),
      listening: () => this.#intake.rungAll(),
    }))
    this.#intake = new RedisIntake({
      listen: (channel) => link.listen(keys.bell(channel)),
      take: (channel) => this.#take(channel),
      putBack: (channel, event) => this.#putBack(channel, event),
      // The bell of this process rings for other channels too.
      idle: (channel) => {
        if (!channel.includes('!')) link.unlisten(keys.bell(channel))
      },
      failed: (error) =>
        log.warn(`Nothing can be received from channels, which is tried again: ${error.message}`),
      after: (ms, callback) => {
        const timer = setTimeout(callback, ms)
        return () => clearTimeout(timer)
      },
      backoff: reconnectBackoff(Math.random),
    })
  }

  async send(channel: string, event: ChannelEvent): Promise<void> {
    this.#assertOpen()
    assertChannel(channel)
    const bytes = encodeEvent(event)
    await this.#within(async () => {
      const full = await this.#give([channel], bytes)
      if (full.length > 0) throw channelsFull(full, this.#limits.capacity)
    })
  }

  async receive(channel: string, signal?: AbortSignal): Promise<ChannelEvent> {
    assertOwn(channel, this.#client)
    assertSignal(signal)
    for (;;) {
      this.#assertOpen()
      const event = await this.#intake.receive(channel, signal)
      try {
        const decoded = decodeEvent(event.subarray(END_DIGITS))
        this.#counters.received++
        return decoded
      } catch {
        // Others can write to Redis too; what they wrote must not end who receives.
        this.#counters.unreadable++
        traceChannelLoss({ layer: this.name, channel, reason: 'unreadable', count: 1 })
      }
    }
  }

  async newChannel(prefix = 'specific'): Promise<string> {
    this.#assertOpen()
    return localChannel(prefix, this.#client, randomBytes(9).toString('base64url'))
  }

  async groupAdd(group: string, channel: string): Promise<void> {
    this.#assertOpen()
    assertGroup(group)
    assertChannel(channel)
    const { groupExpiryMs } = this.#limits
    // Noted in the order in which Redis is asked.
    this.#memberships.joins(group, channel)
    try {
      await this.#within(() =>
        this.#link.ask((redis) =>
          redis.eval(channelScripts.join, 1, this.#keys.group(group), channel, groupExpiryMs),
        ),
      )
    } catch (error) {
      this.#memberships.left(group, channel)
      throw error
    }
    this.#memberships.joined(group, channel)
  }

  async groupDiscard(group: string, channel: string): Promise<void> {
    this.#assertOpen()
    assertGroup(group)
    assertChannel(channel)
    this.#memberships.left(group, channel)
    await this.#within(() => this.#link.ask((redis) => redis.zrem(this.#keys.group(group), channel)))
  }

  async groupSend(group: string, event: ChannelEvent): Promise<void> {
    this.#assertOpen()
    assertGroup(group)
    const bytes = encodeEvent(event)
    await this.#within(async () => {
      const channels = (await this.#link.ask((redis) =>
        redis.eval(channelScripts.members, 1, this.#keys.group(group)),
      )) as string[]
      const full = await this.#give(channels, bytes)
      // A process that was killed is in its groups for a day, and must not be an error for each who sends.
      const alive = await this.#alive(full)
      if (alive.length > 0) throw channelsFull(alive, this.#limits.capacity)
    })
  }

  async flush(): Promise<void> {
    this.#assertOpen()
    const { all } = this.#keys
    await this.#within(() =>
      this.#link.ask(async (redis) => {
        for (let cursor = '0'; ;) {
          const [next, found] = await redis.scan(cursor, 'MATCH', all, 'COUNT', 1_000)
          // A process is there all the same: without its word it would take its groups for lost.
          const keys = found.filter((key) => !this.#keys.isProcess(key))
          if (keys.length > 0) await redis.unlink(...keys)
          if (next === '0') return
          cursor = next
        }
      }),
    )
    this.#memberships.clear()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await (this.#closing ??= this.#end())
  }

  async #end(): Promise<void> {
    // What is taken already needs the connection once more.
    const emptied = this.#intake.close(channelsClosed(this.name))
    await endedWithin(LAST_MS, emptied)
    await this.#link.close()
    for (const [channel, count] of this.#intake.left()) this.#expired(channel, count)
  }

  // Each script has the keys of some channels, so that it does not hold up others for long.
  async #give(channels: readonly string[], bytes: Buffer): Promise<readonly string[]> {
    const { capacity, expiryMs } = this.#limits
    const full: string[] = []
    for (let from = 0; from < channels.length; from += CHANNELS_AT_ONCE) {
      const some = channels.slice(from, from + CHANNELS_AT_ONCE)
      const counts = (await this.#link.ask((redis) =>
        redis.eval(
          channelScripts.send,
          some.length,
          ...some.map((channel) => this.#keys.channel(channel)),
          capacity,
          expiryMs,
          bytes,
          ...some.flatMap((channel) => [this.#keys.bell(channel), channel]),
        ),
      )) as number[]
      for (const [i, channel] of some.entries()) {
        const count = counts[i] ?? 0
        this.#expired(channel, count < 0 ? -1 - count : count)
        if (count < 0) full.push(channel)
      }
    }
    if (full.length < channels.length || channels.length === 0) this.#counters.sent++
    this.#counters.full += full.length
    for (const channel of full) traceChannelLoss({ layer: this.name, channel, reason: 'full', count: 1 })
    return full
  }

  async #alive(channels: readonly string[]): Promise<readonly string[]> {
    const isAlive = await Promise.all(
      channels.map(async (channel) => {
        const client = processOf(channel)
        if (client === undefined) return true
        return this.#link.ask((redis) => this.#presence.has(redis, client))
      }),
    )
    return channels.filter((_channel, i) => isAlive[i])
  }

  async #take(channel: string): Promise<Buffer | undefined> {
    const [expired, event] = (await this.#link.ask((redis) =>
      redis.callBuffer('EVAL', channelScripts.take, 1, this.#keys.channel(channel)),
    )) as [number, Buffer?]
    this.#expired(channel, expired)
    return event
  }

  async #putBack(channel: string, event: Buffer): Promise<void> {
    const expired = await this.#link.ask((redis) =>
      redis.eval(
        channelScripts.putBack,
        1,
        this.#keys.channel(channel),
        event,
        this.#keys.bell(channel),
        channel,
      ),
    )
    this.#expired(channel, Number(expired))
  }

  #expired(channel: string, count: number): void {
    if (count === 0) return
    this.#counters.expired += count
    traceChannelLoss({ layer: this.name, channel, reason: 'expired', count })
  }

  async #within(work: () => Promise<unknown>): Promise<void> {
    try {
      await this.#link.within(work)
    } catch (error) {
      if (this.#isClosed && !(error instanceof MqttasgiError && error.code === 'ERR_CHANNEL_FULL'))
        throw channelsClosed(this.name)
      throw error
    }
  }

  #assertOpen(): void {
    if (this.#isClosed) throw channelsClosed(this.name)
  }
}
