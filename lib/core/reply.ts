// Where a reply may go: the response topic is the requester's text, and is published to with our rights.
import { MqttasgiError } from './errors.ts'
import type { Message } from './message.ts'
import { assertPublishTopic, filterMatches, isTopic } from './topic.ts'

/** The most bytes of one reply. Whoever answers a few bytes with more than this amplifies what it was sent. */
export const MAX_REPLY_BYTES = 1_048_576

/**
 * The topic a reply to `message` goes to. `allowed` are the filters of topics that replies may go to;
 * without them it is any topic that does not begin with `$`. Throws `ERR_NO_RESPONSE_TOPIC` where there is no
 * usable one, `ERR_REPLY_REFUSED` for one that is not allowed.
 */
export function replyTopicOf(message: Message, allowed: readonly string[] | undefined): string {
  const { responseTopic } = message.properties
  // A wildcard in it is forbidden [MQTT-3.3.2-14].
  if (responseTopic === undefined || !isTopic(responseTopic)) {
    const what =
      responseTopic === undefined ? 'names no response topic' : 'names a response topic that is no topic'
    throw new MqttasgiError(
      'ERR_NO_RESPONSE_TOPIC',
      `The message on "${message.topic}" ${what}, so there is nowhere to reply to.`,
      { topic: message.topic },
    )
  }
  assertPublishTopic(responseTopic)
  if (allowed === undefined) {
    if (!responseTopic.startsWith('$')) return responseTopic
    throw replyRefused(message, 'its response topic begins with "$". Name such topics in replyTopics')
  }
  if (allowed.some((filter) => filterMatches(filter, responseTopic))) return responseTopic
  throw replyRefused(message, 'replyTopics does not allow its response topic')
}

/** The error of a reply that is not sent. */
export function replyRefused(message: Message, why: string): MqttasgiError {
  return new MqttasgiError(
    'ERR_REPLY_REFUSED',
    `No reply was sent to the message on "${message.topic}": ${why}.`,
    { topic: message.topic },
  )
}
