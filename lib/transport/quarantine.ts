// Finds the publication that ends the connection each time it is sent, so that it is not sent for ever.

/** The connection ended this soon behind it, this often in a row. */
const SOON_MS = 1_000
const STRIKES = 3

/** DISCONNECTs (3.14.2.1) that are about the server or the connection, and not about a packet. */
const blameless: ReadonlySet<number> = new Set([
  0x89, 0x8b, 0x8d, 0x8e, 0x96, 0x97, 0x98, 0x9c, 0x9d, 0x9f, 0xa0,
])

export function isBlameless(reasonCode: number | undefined): boolean {
  return reasonCode !== undefined && blameless.has(reasonCode)
}

/**
 * What a broker does not bear, above a limit it does not tell for instance, ends the connection; the standard demands
 * to send it again on the next one [MQTT-4.4.0-1], and so nothing else ever gets through.
 *
 * Publications that were sent for the first time may stand beside others, and then nobody knows which of them it was.
 * Those that are sent again go one by one, so a publication is only condemned when it was alone.
 */
export class Quarantine<T> {
  readonly #now: () => number
  /** Sent on this connection and not answered, with the time. */
  readonly #sent = new Map<T, number>()
  readonly #strikes = new Map<T, number>()

  constructor(now: () => number) {
    this.#now = now
  }

  sent(publication: T): void {
    this.#sent.set(publication, this.#now())
  }

  /** The broker has taken it, or nobody waits for that any more. */
  answered(publication: T): void {
    this.#sent.delete(publication)
    this.#strikes.delete(publication)
  }

  /** The connection has ended, perhaps for what was sent; says what must not be sent again. */
  ended(isSuspicious: boolean): T | undefined {
    const sent = [...this.#sent]
    this.#sent.clear()
    if (!isSuspicious) return undefined
    for (const [publication, at] of sent) {
      if (this.#now() - at > SOON_MS) this.#strikes.delete(publication)
      else this.#strikes.set(publication, (this.#strikes.get(publication) ?? 0) + 1)
    }
    const [suspect, ...others] = sent
    if (suspect === undefined || others.length > 0) return undefined
    return (this.#strikes.get(suspect[0]) ?? 0) < STRIKES ? undefined : suspect[0]
  }
}
