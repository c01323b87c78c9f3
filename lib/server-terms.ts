// What the settings say of every server that is made of them: how it connects, how much it holds, how long it waits.
import { topicsBelow } from './channels/mqtt-topics.ts'
import { reconnectBackoff } from './core/backoff.ts'
import type { OutboxSettings, Settings } from './config/settings.ts'
import type { OutboxPolicy } from './server/outbox-policy.ts'
import type { OwnPublications } from './server/own-publications.ts'
import type { ServerParts } from './server/server-parts.ts'
import { probeTopic } from './server/share-probe.ts'

// What a message takes in memory while it waits. Messages of a few bytes would take forty times the limit without it.
const BYTES_BESIDE_FRAME = 256

export type ServerTerms = Pick<
  ServerParts,
  'clientId' | 'policy' | 'window' | 'shareProbeTopic' | 'sessionLasts' | 'drainTimeoutMs'
>

export function serverTerms({
  broker,
  drainTimeoutMs,
  maxInFlight,
  maxInFlightBytes,
}: Settings): ServerTerms {
  const { clientId, protocolVersion, retries, shareProbe } = broker
  return {
    clientId,
    policy: { retries, protocolVersion, backoff: reconnectBackoff(Math.random), clientId },
    window: { maxInFlight, maxWaitingBytes: maxInFlightBytes, bytesBesideFrame: BYTES_BESIDE_FRAME },
    shareProbeTopic: shareProbe && probeTopic(shareProbe, clientId),
    sessionLasts: !broker.clean,
    drainTimeoutMs,
  }
}

/** How much may wait for the broker. */
export function outboxLimits({
  maxBytes,
  maxMessages,
}: OutboxSettings): Pick<OutboxPolicy, 'maxBytes' | 'maxMessages' | 'bytesBesideFrame'> {
  return { maxMessages, maxBytes, bytesBesideFrame: BYTES_BESIDE_FRAME }
}

/** What a server publishes without being told. */
export function ownPublications({
  channels,
  deadLetter,
}: Pick<Settings, 'channels' | 'deadLetter'>): readonly OwnPublications[] {
  const { store, topic } = deadLetter
  return [
    ...(store === 'topic' && topic !== undefined
      ? [{ filter: topic, what: `each dead letter (deadLetter.topic "${topic}")` }]
      : []),
    ...(channels.layer === 'mqtt'
      ? [
          {
            filter: `${channels.prefix}/#`,
            topics: topicsBelow(channels.prefix),
            what: `the channel layer (below "${channels.prefix}")`,
          },
        ]
      : []),
  ]
}
