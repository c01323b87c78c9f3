// A limit for the answers to SUBSCRIBE and UNSUBSCRIBE: a broker that answers pings and not these would be waited for for ever.
import type { Clock } from '../core/clock.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { Transport } from '../transport/transport.ts'

/** What it works with. */
export interface AnswerLimitParts {
  readonly broker: Pick<Transport, 'subscribe' | 'unsubscribe'>
  readonly clock: Clock
  readonly limitMs: number
  /** The socket is not read now: the answer may be there, behind what waits for handlers. */
  readonly isHeld: () => boolean
  /** Called when an answer has not come. What was asked stays open: with the connection it ends. */
  readonly late: (error: MqttasgiError) => void
}

/** The broker, asked with a limit. */
export function withAnswerLimit({
  broker,
  clock,
  isHeld,
  late,
  limitMs,
}: AnswerLimitParts): Pick<Transport, 'subscribe' | 'unsubscribe'> {
  const within = <T>(packet: string, filters: readonly string[], answer: Promise<T>): Promise<T> => {
    let cancel = (): void => {}
    const wait = (): void => {
      cancel = clock.after(limitMs, () => {
        if (isHeld()) wait()
        else late(unanswered(packet, filters, limitMs))
      })
    }
    wait()
    return answer.finally(() => cancel())
  }
  return {
    subscribe: (requests) =>
      within(
        'SUBSCRIBE',
        requests.map(({ filter }) => filter),
        broker.subscribe(requests),
      ),
    unsubscribe: (filters) => within('UNSUBSCRIBE', filters, broker.unsubscribe(filters)),
  }
}

// One of them is enough to look at, and the others may be a hundred.
function unanswered(
  packet: string,
  [filter = '', ...more]: readonly string[],
  limitMs: number,
): MqttasgiError {
  const others = more.length === 0 ? '' : ` and ${more.length} more`
  return new MqttasgiError(
    'ERR_REQUEST_TIMEOUT',
    `The broker did not answer ${packet} for "${filter}"${others} within ${limitMs / 1_000} s, though it is connected: it may not take such a filter, or stand still.`,
  )
}
