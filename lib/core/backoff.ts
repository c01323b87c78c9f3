// How long to wait before the next try: full jitter, so that a thousand clients do not come back as one.

/** As far as an outage has come. */
export interface Outage {
  readonly tries: number
  readonly elapsedMs: number
  /** It ends when people do something, and each try may be counted against us. */
  readonly patient?: boolean
}

/** Milliseconds to wait before the next try. */
export type Backoff = (outage: Outage) => number

/** Chances in [0, 1), as `Math.random`. */
export type Random = () => number

const FIRST_MINUTE_MS = 60_000
const FIRST_MINUTE_CEILING_MS = 1_500
const CEILING_MS = 120_000
const PATIENCE_MS = 30_000

/**
 * The wait between two connection attempts. Within the first minute of an outage it is at most 1.5 s, so
 * that a restarted broker is back in use within 2 s; after that the ceiling doubles up to 120 s. The wait
 * itself is anywhere between 0 and the ceiling (full jitter). With patience it is between 30 and 60 s.
 */
export function reconnectBackoff(random: Random): Backoff {
  let slowTries = 0
  return ({ tries, elapsedMs, patient }) => {
    if (tries === 1) slowTries = 0
    if (patient === true) return PATIENCE_MS * (1 + random())
    if (elapsedMs < FIRST_MINUTE_MS)
      return random() * Math.min(FIRST_MINUTE_CEILING_MS, 250 * 2 ** (tries - 1))
    slowTries++
    return random() * Math.min(CEILING_MS, FIRST_MINUTE_CEILING_MS * 2 ** slowTries)
  }
}
