// How fast the handlers of each route publish: one that goes round in a circle is held up where nothing counts hops.
import type { Clock } from './clock.ts'
import { MqttasgiError } from './errors.ts'
import type { Layer } from './layer.ts'
import type { Logger } from './log.ts'
import type { ResolvedRouteOptions } from './route.ts'

export interface PublishRatesParts {
  readonly clock: Clock
  readonly log: Logger
  /** Is told of each publication that is refused. */
  readonly refused: () => void
}

/** What the handlers of one route have published since a moment, in the time of the clock. */
interface Tally {
  since: number
  count: number
  refusedUntil: number
}

const SECOND_MS = 1_000
/** Longer than the attempts of a message by default: a circle ends as a dead letter instead of going on slowly. */
const PAUSE_MS = 10_000

export class PublishRates {
  readonly #parts: PublishRatesParts
  // By the options of a route, which are its own and go with it, and by its pattern, for it may be mounted in several places.
  readonly #tallies = new WeakMap<ResolvedRouteOptions, Map<string, Tally>>()

  constructor(parts: PublishRatesParts) {
    this.#parts = parts
  }

  /** Counts a publication that a handler of this route makes; why it is not sent, or undefined when it may be. */
  refusal(route: Layer | undefined, topic: string): MqttasgiError | undefined {
    const most = route?.delivery?.maxPublishRate ?? 0
    if (most === 0) return undefined
    // A route has options and a pattern.
    const name = route!.pattern!.text
    const tally = this.#tallyOf(route!.route!, name)
    const now = this.#parts.clock.now()
    if (now >= tally.refusedUntil) {
      if (now - tally.since >= SECOND_MS) Object.assign(tally, { since: now, count: 0 })
      if (++tally.count <= most) return undefined
      tally.refusedUntil = now + PAUSE_MS
      this.#parts.log.warn(
        `The handlers of "${name}" have published more than ${most} messages within a second (maxPublishRate). What they publish is refused for ${PAUSE_MS / 1_000} s: most likely it goes round in a circle.`,
      )
    }
    this.#parts.refused()
    return new MqttasgiError(
      'ERR_PUBLISH_RATE',
      `"${topic}" was not published: the handlers of "${name}" have published more than ${most} messages within a second (maxPublishRate), and publish none for ${PAUSE_MS / 1_000} s.`,
      { topic },
    )
  }

  #tallyOf(options: ResolvedRouteOptions, name: string): Tally {
    let places = this.#tallies.get(options)
    if (places === undefined) this.#tallies.set(options, (places = new Map<string, Tally>()))
    let tally = places.get(name)
    if (tally === undefined) {
      tally = { since: -Infinity, count: 0, refusedUntil: -Infinity }
      places.set(name, tally)
    }
    return tally
  }
}
