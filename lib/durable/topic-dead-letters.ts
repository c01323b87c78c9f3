// Dead letters published to one constant topic, and kept only when the broker says that somebody subscribes to it.
import type { DeadLetter, DeadLetterStore } from '../core/dead-letter.ts'
import { MqttasgiError } from '../core/errors.ts'
import type { PublishOptions, PublishResult } from '../core/message.ts'
import { encodeLetter, letterContentType } from './letter-bytes.ts'

/** What is published to which topic, and what stands behind it. */
export interface TopicDeadLettersOptions {
  readonly topic: string
  /** Publishes as the server does: waits for the broker, rejects when it is refused or too large. */
  readonly publish: (topic: string, payload: Buffer, options: PublishOptions) => Promise<PublishResult>
  /** The protocol of the connection; undefined before the first one. */
  readonly protocolVersion: () => 4 | 5 | undefined
  /** Believe a broker of MQTT 3.1.1, which can not tell whether anybody subscribes. */
  readonly unverified: boolean
  /** Takes whole the letters that are too large for the broker, and those that came from this topic. */
  readonly spool: DeadLetterStore
}

/** The user property by which a dead letter is known, on whatever topic it travels. */
const letterProperty = 'mqttasgi-dead-letter'

const NO_SUBSCRIBERS = 0x10
const FOURTEEN_DAYS = 14 * 24 * 60 * 60

/** A `DeadLetterStore` at the broker (E7). */
export class TopicDeadLetters implements DeadLetterStore {
  readonly name: string
  readonly #options: TopicDeadLettersOptions

  constructor(options: TopicDeadLettersOptions) {
    this.name = `topic ${options.topic}`
    this.#options = options
  }

  /** Codes: `ERR_DEAD_LETTER_UNKEPT`, those of publishing, those of the journal behind it. */
  async keep(letter: DeadLetter): Promise<void> {
    const { spool, topic } = this.#options
    // A letter that can not be handled would go round and round (F25).
    if (isLetter(letter, topic)) return spool.keep(letter)
    this.#refuseUnseen()
    try {
      await this.#publish(letter, encodeLetter(letter))
    } catch (error) {
      const isTooLarge = error instanceof MqttasgiError && error.code === 'ERR_PUBLISH_TOO_LARGE'
      if (!isTooLarge) throw error
      await spool.keep(letter)
      await this.#publish(letter, encodeLetter(letter, { withoutPayload: true }))
    }
  }

  close(): Promise<void> {
    return this.#options.spool.close()
  }

  async #publish(letter: DeadLetter, bytes: Buffer): Promise<void> {
    const { publish, topic } = this.#options
    const { id, cause, receiver } = letter
    const { reasonCode, superseded } = await publish(topic, bytes, {
      qos: 1,
      properties: {
        messageExpiryInterval: FOURTEEN_DAYS,
        contentType: letterContentType,
        userProperties: {
          [letterProperty]: id,
          'mqttasgi-topic': letter.topic,
          'mqttasgi-cause': cause,
          'mqttasgi-receiver': receiver,
        },
      },
    })
    if (superseded === true) {
      const why = 'the outbox keeps only the newest publication of its topic'
      throw new MqttasgiError('ERR_DEAD_LETTER_UNKEPT', `A dead letter was not sent to "${topic}": ${why}.`)
    }
    this.#refuseUnseen()
    // PUBACK is a success then, and the broker has thrown the letter away (3.4.2.1).
    if (reasonCode !== NO_SUBSCRIBERS) return
    throw new MqttasgiError(
      'ERR_DEAD_LETTER_UNKEPT',
      `Nobody subscribes to "${topic}", and the broker threw a dead letter away (reason code 16). Let its reader subscribe in a session that lasts, or keep dead letters in the journal.`,
    )
  }

  #refuseUnseen(): void {
    const { protocolVersion, topic, unverified } = this.#options
    if (unverified || protocolVersion() !== 4) return
    throw new MqttasgiError(
      'ERR_DEAD_LETTER_UNKEPT',
      `On MQTT 3.1.1 a broker does not tell whether anybody subscribes to "${topic}", and a dead letter could be lost unseen. Use MQTT 5 or the journal, or set deadLetter.unverified.`,
    )
  }
}

function isLetter({ topic, properties }: DeadLetter, ours: string): boolean {
  return topic === ours || properties.userProperties?.[letterProperty] !== undefined
}
