// What a connection tells of the session and of the broker's limits: whether something was lost, and what people should hear.
import { MqttasgiError } from '../core/errors.ts'
import type { ConnectionInfo } from '../transport/transport.ts'

/** How the session was asked for. */
export interface SessionWishes {
  /** The broker keeps it while we are away (clean: false), and with it what is unacknowledged. */
  readonly lasts: boolean
  /** Seconds it is to be kept; undefined where nobody says. */
  readonly expirySeconds: number | undefined
}

/** One line of the log. */
export interface Notice {
  readonly level: 'info' | 'warn'
  readonly text: string
}

/** One for the life of a server. */
export class Session {
  readonly #wishes: SessionWishes
  readonly #said = new Set<string>()
  #everConnected = false

  constructor(wishes: SessionWishes) {
    this.#wishes = wishes
  }

  /** `lost`: it was expected to go on, and did not. */
  connected(info: ConnectionInfo): { readonly lost: boolean; readonly notices: readonly Notice[] } {
    const lost = this.#wishes.lasts && this.#everConnected && !info.sessionPresent
    this.#everConnected = true
    const version = info.protocolVersion === 5 ? '5' : '3.1.1'
    const goesOn = info.sessionPresent ? ', the session goes on' : ''
    const notices: Notice[] = [{ level: 'info', text: `Connected with MQTT ${version}${goesOn}.` }]
    if (lost) {
      const text =
        'The broker has lost the session, and with it what it kept for us. All is subscribed again.'
      notices.push({ level: 'warn', text })
    }
    for (const text of this.#limits(info)) if (!this.#said.has(text)) notices.push({ level: 'warn', text })
    for (const { text } of notices) this.#said.add(text)
    return { lost, notices }
  }

  // What the broker gives less of than was asked for. Each is said once: it will be so on each connection.
  #limits({ limits }: ConnectionInfo): string[] {
    const lines: string[] = []
    const { expirySeconds, lasts } = this.#wishes
    const kept = limits.sessionExpirySeconds
    if (lasts && expirySeconds !== undefined && kept !== undefined && kept < expirySeconds) {
      lines.push(
        `The broker keeps the session for ${kept} s, not for ${expirySeconds} s as asked: whoever is away for longer loses what was published.`,
      )
    }
    if (limits.maximumQoS === 0) {
      lines.push('The broker takes publications of QoS 0 only: those of QoS 1 and 2 are refused here.')
    }
    if (!limits.retainAvailable) {
      lines.push('The broker keeps no retained messages: publications with retain are refused here.')
    }
    return lines
  }
}

/** Ends a server that is not to go on without the session it had. */
export function sessionLost(): MqttasgiError {
  return new MqttasgiError(
    'ERR_SESSION_LOST',
    'The broker has lost the session, and with it what it kept for us; onSessionLoss is stop. Look at what the broker stores, and how long.',
  )
}
