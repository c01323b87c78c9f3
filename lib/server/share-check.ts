// Decides whether shared subscriptions are tried before they are relied on, and what follows from how that went.
import { MqttasgiError } from '../core/errors.ts'
import type { Logger } from '../core/log.ts'
import { sharedFilter } from '../core/topic.ts'
import { tracer } from '../core/trace.ts'
import { shareFault, type ShareVerdict } from './share-probe.ts'
import type { ConnectionInfo, SubscriptionRequest } from '../transport/transport.ts'

const trace = tracer('subscriptions')

export class ShareCheck {
  readonly #probe: { run(): Promise<ShareVerdict> }
  readonly #log: Logger
  #verdict: ShareVerdict | undefined = undefined

  constructor(probe: { run(): Promise<ShareVerdict> }, log: Logger) {
    this.#probe = probe
    this.#log = log
  }

  /**
   * To be called before these are asked for. CONNACK of MQTT 5 says whether there are shared subscriptions;
   * over 3.1.1 they are tried, once. Code: `ERR_SHARED_UNSUPPORTED`.
   */
  async before(
    requests: readonly SubscriptionRequest[],
    { protocolVersion }: Pick<ConnectionInfo, 'protocolVersion'>,
  ): Promise<void> {
    const shared = requests.find(({ filter }) => sharedFilter(filter) !== null)
    if (protocolVersion === 5 || shared === undefined) return
    const isFirst = this.#verdict === undefined
    const verdict = this.#verdict ?? (await this.#probe.run())
    trace('shared subscriptions: %s', verdict)
    // A connection that was lost may have been lost for any reason: the next one tries again.
    this.#verdict = verdict === 'lost' ? undefined : verdict
    const fault = shareFault(verdict)
    if (fault !== undefined) {
      throw new MqttasgiError(
        'ERR_SHARED_UNSUPPORTED',
        `${fault} "${shared.filter}" would never bring a message. Use a broker that has them, or routes without a group.`,
      )
    }
    if (verdict === 'unsure' && isFirst) {
      this.#log.warn(
        'Whether the broker delivers to shared subscriptions could not be tried: the probe did not come back, with a group or without. If this client may not publish to its topic, give another one as broker.shareProbe, or off.',
      )
    }
  }
}
