// The port of whatever can be run: a consumer class, an application, a router, a raw application, each as a receiver.
import { eventCounters, type EventCounter } from './channel-intake.ts'
import type { ChannelLayer } from './channel-layer.ts'
import type { Clock } from './clock.ts'
import type { ResolvedDelivery } from './delivery-options.ts'
import type { Logger } from './log.ts'
import type { PublishRules } from './message-context.ts'
import type { Receiver } from './receiver.ts'
import type { FlatRoute } from './router.ts'
import type { Scope } from './scope.ts'
import type { Workforce } from './workforce.ts'

/** What a receiver itself sees of what its server counts. */
export type ReceiverCounter = EventCounter | 'loops'

export const receiverCounters: readonly ReceiverCounter[] = [...eventCounters, 'loops']

/** Who a receiver is on its server, where it is mounted, and what it finds there. */
export interface ReceiverIdentity {
  readonly id: string
  /** The prefix of all its patterns; '' for none. */
  readonly mount: string
  readonly scope: Scope
  readonly log: Logger
  readonly rules?: PublishRules | undefined
  /** Left out where there is none. */
  readonly channels?: ChannelLayer | undefined
  /** Is told what becomes of each channel event, and of publications that are refused. Left out where nobody counts. */
  readonly countEvent?: ((counter: ReceiverCounter) => void) | undefined
  readonly workforce?: Workforce | undefined
  /** Resolves when the broker has granted all that is wanted. Left out where no server is. */
  readonly ready?: (() => Promise<void>) | undefined
  /** How many of its kind share its messages on this server. Default: 1. */
  readonly instances?: number | undefined
  readonly clock: Clock
}

/** A receiver that was made for a server, and is let go of with it. */
export interface HostedReceiver extends Receiver {
  /** Resolves when it has ended by itself: with what it failed with, or with undefined. Left out where it never does. */
  readonly ended?: Promise<Error | undefined>
  /** Its routes as they stand under its mount. Left out where it has none that are known beforehand. */
  routes?(): readonly FlatRoute[]
  /** How messages are run that none of its routes matches. Left out where they are run as all is run unless told otherwise. */
  readonly unmatchedDelivery?: ResolvedDelivery
  release(): void
}

/** What can be made a receiver, once for each place where it runs. */
export interface Hostable {
  receiver(identity: ReceiverIdentity): HostedReceiver
}
