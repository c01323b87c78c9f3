// Opens the channel layer that the settings ask for: for a server, or for a program that has none.
import { randomBytes } from 'node:crypto'
import { InMemoryChannelLayer } from './channels/memory.ts'
import { MqttChannelLayer } from './channels/mqtt-channel-layer.ts'
import { RedisChannelLayer } from './channels/redis-channel-layer.ts'
import type { ServeInput } from './config/input.ts'
import { resolveOptions } from './config/load.ts'
import type { Settings } from './config/settings.ts'
import { connectionTo } from './connection.ts'
import type { ChannelLayer } from './core/channel-layer.ts'
import type { HostedReceiver } from './core/hosted.ts'
import { unfailing, type Logger } from './core/log.ts'
import { lineLog } from './observe/line-log.ts'
import { Server } from './server/server.ts'
import { outboxLimits, serverTerms } from './server-terms.ts'
import type { Transport } from './transport/transport.ts'

/** The configuration, as that of `serve()`, and where its words go. */
export interface ChannelLayerOptions extends ServeInput {
  /** Default: warnings and errors as lines on stderr. */
  readonly log?: Logger | undefined
  /** Default: MQTT.js, connected as `broker` says. Only for the layer `mqtt`. */
  readonly transport?: Transport | undefined
}

/** What a layer is opened with besides its settings. */
export interface LayerSurroundings {
  readonly log: Logger
  /** Is told each password that was read from a file or a function, so that nothing prints it. */
  readonly secret?: ((password: string) => void) | undefined
  readonly transport?: Transport | undefined
}

/**
 * The channel layer of a configuration, for a program without a server of ours: a web handler, another process. It is
 * closed with `close()`. With `channels.layer` `memory` it reaches this process only: every layer and every server in it
 * with the same `channels.prefix`. With `mqtt` it makes a connection of its own, whose client id is that of the
 * configuration and a random ending.
 *
 * Rejects with `ERR_CONFIG_*` for wrong options, and with `ERR_CONNECT_*` when the broker of `mqtt` can not be reached
 * within `broker.retries`.
 *
 * @example
 * const layer = await channelLayer({ channels: { layer: 'mqtt' }, broker: { url: 'mqtt://localhost' } })
 * await layer.groupSend('alarms', { type: 'alarm.raised', room: 'hall' })
 * await layer.close()
 */
export async function channelLayer(options: ChannelLayerOptions = {}): Promise<ChannelLayer> {
  const { log, transport, ...input } = options
  const settings = resolveOptions(input)
  return openChannelLayer(settings, { log: log ?? lineLog({ verbosity: settings.verbosity }), transport })
}

/** The same of settings. */
export async function openChannelLayer(
  settings: Settings,
  { log: given, secret, transport }: LayerSurroundings,
): Promise<ChannelLayer> {
  const log = unfailing(given)
  if (settings.channels.layer !== 'mqtt') return layerFor(settings, log).layer
  const own = ownConnection(settings)
  const layer = new MqttChannelLayer({ ...settings.channels, log, ended: () => server.stop() })
  const server = new Server({
    ...serverTerms(own),
    transport: transport ?? connectionTo(own, { secret }),
    receivers: [layer.receiver],
    outbox: outboxLimits(own.outbox),
    log,
  })
  await server.start()
  void server.closed.then(({ error }) => {
    if (error !== undefined) log.error(`The channel layer ends: ${error.message}`, { error })
    return layer.close()
  })
  return layer
}

/** A layer for a server, and what it must have beside its other receivers. */
export function layerFor(
  { channels }: Settings,
  log: Logger,
): { readonly layer: ChannelLayer; readonly receivers: readonly HostedReceiver[] } {
  const { layer: name, redis, ...limits } = channels
  if (name === 'mqtt') {
    const layer = new MqttChannelLayer({ ...limits, log })
    return { layer, receivers: [layer.receiver] }
  }
  const layer =
    redis === undefined
      ? new InMemoryChannelLayer(limits)
      : new RedisChannelLayer({ ...limits, url: redis.url.reveal(), log })
  return { layer, receivers: [] }
}

// The session of the server whose configuration this is must stay its own.
function ownConnection(settings: Settings): Settings {
  const clientId = `${settings.broker.clientId}-channels-${randomBytes(4).toString('hex')}`
  return { ...settings, broker: { ...settings.broker, clientId, clean: true, sessionExpirySeconds: 0 } }
}
