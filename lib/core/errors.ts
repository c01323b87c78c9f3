// The one error class of the project and, what makes it long, the table of its codes; docs/errors.md says more about each.
import { inLog, MOST_SHOWN } from './log.ts'

/** What a code means and what usually mends it. `kind` decides the exit code of the command line. */
export interface ErrorEntry {
  readonly kind: 'program' | 'config' | 'usage' | 'connection' | 'takeover' | 'delivery'
  readonly means: string
  readonly mend: string
  /** The same message fails with it each time: not tried again. Mistakes in a program are so too. */
  readonly final?: true
}

/** Every code an error of this package can carry. */
export const errorCodes = {
  // --- topics, filters and patterns -------------------------------------------------------------
  ERR_TOPIC_INVALID: {
    kind: 'program',
    means: 'A topic name is not one the standard allows.',
    mend: 'Publish to a topic of 1 to 65,535 bytes without +, # and NUL.',
  },
  ERR_FILTER_INVALID: {
    kind: 'program',
    means: 'A topic filter is not one the standard allows.',
    mend: 'Let + stand for a whole level and # for the last one only.',
  },
  ERR_PATTERN_INVALID: {
    kind: 'program',
    means: 'A pattern can not be read: its wildcards or its names are wrong.',
    mend: 'Write +name for one level and #name as the last level, each name once.',
  },
  ERR_PATTERN_FILL: {
    kind: 'program',
    means: 'A pattern was filled with a value that is missing or would change the topic.',
    mend: 'Give every name a non-empty value without /, +, # and NUL.',
  },
  // --- application ------------------------------------------------------------------------------
  ERR_NEXT_CALLED_TWICE: {
    kind: 'program',
    means: 'A handler called next() a second time.',
    mend: 'Call next() once; keep its promise if you need it again.',
  },
  ERR_NEXT_TOO_LATE: {
    kind: 'program',
    means: 'next() was called after the chain had ended.',
    mend: 'Return or await next() in the handler, instead of calling it from a callback.',
  },
  ERR_HANDLER_INVALID: {
    kind: 'program',
    means: 'Something that is not a function was registered as a handler.',
    mend: 'Give functions (ctx, next) => …, or a router to use().',
  },
  ERR_ROUTE_OPTION: {
    kind: 'program',
    means: 'A route option is unknown, has a wrong value, or contradicts another.',
    mend: 'See the list of route options in docs/routing.md.',
  },
  ERR_OUTCOME_INVALID: {
    kind: 'program',
    means: 'A value given to Retry, Reject or ctx.extend() is none that they take.',
    mend: 'Give milliseconds of 0 or more, and the reason codes 0x80, 0x83 or 0x99.',
  },
  ERR_MOUNT_INVALID: {
    kind: 'program',
    means: 'A pattern can not be used as a prefix, or does not fit what is mounted under it.',
    mend: 'Mount under plain levels and +names that the routes below do not use again.',
  },
  ERR_PAYLOAD_JSON: {
    kind: 'delivery',
    final: true,
    means: 'The payload is not the JSON that ctx.json() was asked to read.',
    mend: 'Look at what the device sends, or read the bytes with ctx.payload or ctx.text().',
  },
  ERR_PAYLOAD_TYPE: {
    kind: 'program',
    means: 'A value was given to publish() that has no bytes: a function, a symbol, a circular object.',
    mend: 'Publish a string, bytes, a number, a boolean, null or something JSON can write.',
  },
  ERR_NO_RESPONSE_TOPIC: {
    kind: 'delivery',
    final: true,
    means: 'reply() was called for a message without a usable response topic.',
    mend: 'Only reply to requests: messages of MQTT 5 whose properties name a response topic.',
  },
  ERR_REPLY_REFUSED: {
    kind: 'delivery',
    final: true,
    means: 'A reply was not sent: its topic is not allowed, it is too large, or there was one already.',
    mend: 'Allow the topic with replyTopics; send more than one short answer with ctx.publish().',
  },
  ERR_PUBLISH_LOOP: {
    kind: 'delivery',
    final: true,
    means: 'A publication was refused because too many others led to it, each made by a handler of the last.',
    mend: 'Do not publish to what your own routes listen to; raise maxHops where the way is that long.',
  },
  ERR_PUBLISH_RATE: {
    kind: 'delivery',
    means: 'The handlers of a route publish faster than its maxPublishRate allows.',
    mend: 'Look whether what they publish comes back to them; raise maxPublishRate where so much is meant.',
  },
  ERR_EVENT_INVALID: {
    kind: 'program',
    means: 'A raw application called receive() twice at once, or sent something that is no event.',
    mend: 'See the events in docs/consumer.md.',
  },
  ERR_NOT_ATTACHED: {
    kind: 'program',
    means: 'Something needs a server, and the receiver is attached to none.',
    mend: 'Publish and subscribe after serve() has resolved, or from within a handler.',
  },
  // --- configuration and command line -----------------------------------------------------------
  ERR_CONFIG_KEY: {
    kind: 'config',
    means: 'The configuration has a key that nobody reads.',
    mend: 'Correct its name, or take it out; the message names the nearest key there is.',
  },
  ERR_CONFIG_VALUE: {
    kind: 'config',
    means: 'A value of the configuration, the environment or .env has the wrong type or is out of range.',
    mend: 'Give what the message expects; README.md lists all options.',
  },
  ERR_CONFIG_CONFLICT: {
    kind: 'config',
    means: 'Two options given at the same place contradict each other.',
    mend: 'Keep one of the two that the message names.',
  },
  ERR_CONFIG_INCOMPLETE: {
    kind: 'config',
    means: 'An option was given without another one that it needs.',
    mend: 'Give the other one too, or take the first one out.',
  },
  ERR_CONFIG_FILE: {
    kind: 'config',
    means: 'A configuration file can not be found, read or understood, or it threw.',
    mend: 'Look at the file and place the message names.',
  },
  ERR_CONFIG_UNSAFE: {
    kind: 'config',
    means: 'Everybody on this machine may write to the configuration file, and it would be run.',
    mend: 'Take the right away: chmod o-w FILE.',
  },
  ERR_CONFIG_TLS: {
    kind: 'config',
    means: 'A certificate or key can not be read, is not what it should be, or does not fit its partner.',
    mend: 'Give PEM files that this user can read: the key that belongs to the certificate, unencrypted.',
  },
  ERR_APPLICATION_MISSING: {
    kind: 'config',
    means: 'Neither the command line nor the configuration names an application.',
    mend: "Run `mqttasgi ./app.ts`, or write application: './app.ts' into mqttasgi.config.ts.",
  },
  ERR_APPLICATION_FILE: {
    kind: 'config',
    means: 'The file of an application is not there or can not be read.',
    mend: 'Give its path as ./file.ts or ./file.ts#export.',
  },
  ERR_APPLICATION_EXPORT: {
    kind: 'config',
    means: 'The file of an application does not export what was asked for, or it is no application.',
    mend: 'Export what mqttasgi() returned: as default, as app, or under the name after the #.',
  },
  ERR_APPLICATION_LOAD: {
    kind: 'program',
    means: 'The file of an application threw while it was loaded.',
    mend: 'The message and the cause say what it threw and where.',
  },
  ERR_APPLICATION_FAILED: {
    kind: 'program',
    means:
      'The application itself has ended with an error: connect() of a consumer threw, or a raw application rejected.',
    mend: 'The message and the cause say what it threw.',
  },
  ERR_USAGE: {
    kind: 'usage',
    means: 'The command line can not be understood.',
    mend: 'See mqttasgi --help.',
  },
  // --- connection -------------------------------------------------------------------------------
  ERR_CONNECT_VERSION: {
    kind: 'connection',
    means: 'The broker does not speak the protocol version that was asked for.',
    mend: 'Use protocolVersion auto, or the version the broker speaks.',
  },
  ERR_CONNECT_REFUSED: {
    kind: 'connection',
    means: 'The broker answered CONNECT with a refusal.',
    mend: 'The message names the reason the broker gave.',
  },
  ERR_CONNECT_CREDENTIALS: {
    kind: 'connection',
    means: 'The broker refused user name and password, or asks for some, or they could not be read.',
    mend: 'Check MQTT_USERNAME and MQTT_PASSWORD, or the file or function they come from.',
  },
  ERR_CONNECT_TLS: {
    kind: 'connection',
    means: 'The certificate of the broker, or ours, is not trusted.',
    mend: 'Give the CA that signed it, and connect by the name in the certificate.',
  },
  ERR_CONNECT_NETWORK: {
    kind: 'connection',
    means: 'No connection to the broker could be made.',
    mend: 'Check host and port, and that the broker runs.',
  },
  ERR_CONNECT_TIMEOUT: {
    kind: 'connection',
    means: 'The broker accepted the connection and then said nothing.',
    mend: 'Check that the port speaks MQTT, and with or without TLS as configured.',
  },
  ERR_CONNECT_PROTOCOL: {
    kind: 'connection',
    means: 'What answered does not speak MQTT.',
    mend: 'Check the port and the transport.',
  },
  ERR_CONNECT_CLOSED: {
    kind: 'connection',
    means: 'The broker ended the connection.',
    mend: 'Its own log says why.',
  },
  ERR_CLIENT_ID_TAKEN_OVER: {
    kind: 'takeover',
    means:
      'Another client connected with our client id while we had it for less than 5 s: the later one gives way.',
    mend: 'Give each instance a client id of its own.',
  },
  ERR_REQUEST_TIMEOUT: {
    kind: 'connection',
    means: 'The broker is connected, and did not answer a SUBSCRIBE or UNSUBSCRIBE within 30 s.',
    mend: 'Look at what the broker makes of the filter that the message names; some are silent about $share.',
  },
  ERR_SESSION_LOST: {
    kind: 'connection',
    means: 'The broker did not know our session any more, and the server was told not to go on without it.',
    mend: 'Let the broker store its sessions, and for longer than the longest outage; or onSessionLoss: continue.',
  },
  ERR_INBOUND_OVERFLOW: {
    kind: 'connection',
    means:
      'More came than may wait in front of the handlers; the connection was cut, nothing was acknowledged.',
    mend: 'Raise maxInFlightBytes, or make the handlers faster.',
  },
  ERR_STOPPED: {
    kind: 'connection',
    means: 'The server has stopped, so this can not be done any more.',
    mend: 'Start a new server.',
  },
  ERR_OUTBOX_FULL: {
    kind: 'delivery',
    means: 'More publications wait for the broker than the outbox holds.',
    mend: 'Await publish(), or publish less while the broker is away.',
  },
  ERR_OUTBOX_STORE: {
    kind: 'delivery',
    means: 'A publication that was to be stored could not be written to disk, and was not published.',
    mend: 'See what the message says of the disk: its space, its rights.',
  },
  ERR_SUBSCRIBE_OPTIONS_DIFFER: {
    kind: 'program',
    means: 'Two routes want one filter with different subscribe options.',
    mend: 'Give both the same noLocal, retainHandling and retainAsPublished.',
  },
  ERR_SUBSCRIBE_REFUSED: {
    kind: 'connection',
    means: 'The broker refused a subscription, or granted less than was asked for.',
    mend: 'Check the rights of this client at the broker; where it has no QoS 2, leave qos2 at downgrade.',
  },
  ERR_OVERLAP_TOO_WIDE: {
    kind: 'config',
    means: "With overlap: 'superset' routes that overlap would become one subscription to everything (#).",
    mend: "Use overlap: 'accept', or write the filters so that their literal levels stand at the same places.",
  },
  ERR_OVERLAP_SHARED: {
    kind: 'config',
    means:
      'A shared and another subscription overlap, and the broker has no Subscription Identifiers to tell their messages apart.',
    mend: "Use MQTT 5, run them in processes of their own, or say overlap: 'accept'.",
  },
  ERR_SHARED_UNSUPPORTED: {
    kind: 'connection',
    means: 'The broker grants shared subscriptions, or leaves them unanswered, and delivers nothing to them.',
    mend: 'Use a broker that has them, or routes without a group; broker.shareProbe off leaves it untried.',
  },
  ERR_HANDLER_TIMEOUT: {
    kind: 'delivery',
    means: 'A chain, or a handler of a channel event, took longer than timeoutMs.',
    mend: 'Raise timeoutMs, or heed ctx.signal and end sooner.',
  },
  ERR_MESSAGE_HELD: {
    kind: 'delivery',
    means: 'A message was in hand longer than holdMs, all attempts together.',
    mend: 'Raise holdMs, make the handler faster, or call ctx.extend() while it makes progress.',
  },
  ERR_MESSAGE_OVERSIZED: {
    kind: 'delivery',
    means:
      'A message was larger than maxPacketBytes: it was skipped while it came in, and nothing ran for it.',
    mend: 'Publish less at once, or raise maxPacketBytes.',
  },
  ERR_MESSAGE_CRASHES: {
    kind: 'delivery',
    means: 'The process has died again and again with this message in hand; it was not run once more.',
    mend: 'See what the handler does with such a payload (mqttasgi dlq show), then replay it.',
  },
  ERR_APPLICATION_INVALID: {
    kind: 'config',
    means: 'What was given as an application is none.',
    mend: 'Export what mqttasgi() or Router() returned, or a class that extends MqttConsumer; install one copy of mqttasgi.',
  },
  ERR_RECEIVER_DUPLICATE: {
    kind: 'config',
    means: 'Two receivers of one server have the same id.',
    mend: 'Give each worker an id of its own.',
  },
  ERR_RECEIVER_DETACHED: {
    kind: 'delivery',
    means: 'A receiver was detached from its server before it was done with a message.',
    mend: 'Give it more time when it is detached (drainTimeoutMs), or let its handlers heed ctx.signal.',
  },
  // --- workers ----------------------------------------------------------------------------------
  ERR_WORKER_FORBIDDEN: {
    kind: 'program',
    means:
      'A worker asked to spawn or end workers, which only the application itself may do, and at a replay of dead letters nobody.',
    mend: 'Let the worker publish what it wants, and the application spawn.',
  },
  ERR_WORKER_OPTION: {
    kind: 'config',
    means: 'An option of a worker is unknown, has a wrong value, or contradicts another.',
    mend: 'See the list of options in docs/workers.md.',
  },
  ERR_WORKER_APPLICATION: {
    kind: 'config',
    means: 'What was named as the application of a worker is none that can be run there.',
    mend: "Name it './file.ts#name'; without thread, the application itself will do.",
  },
  ERR_WORKER_START: {
    kind: 'program',
    means: 'A worker could not be started: its application failed before it was ready.',
    mend: 'The message and the cause say what it threw.',
  },
  ERR_WORKER_UNKNOWN: {
    kind: 'program',
    means: 'There is no worker with this id.',
    mend: 'workers() lists the ids there are.',
  },
  ERR_WORKER_MASTER: {
    kind: 'program',
    means: 'The application itself was to be ended as if it were a worker.',
    mend: 'Stop the server instead: server.stop().',
  },
  ERR_WORKER_CRASHED: {
    kind: 'delivery',
    means: 'A worker ended with a message in hand, which is tried again on the next one.',
    mend: 'See the reason in the message; what ends the worker each time becomes a dead letter.',
  },
  ERR_WORKER_UNRESPONSIVE: {
    kind: 'delivery',
    means: 'A thread did not answer any more, most likely in a loop without end, and was ended.',
    mend: 'Look at what its handlers, timers and connect() compute without letting go.',
  },
  ERR_WORKER_MEMORY: {
    kind: 'delivery',
    means: 'A thread took more memory than memoryMb, and was ended.',
    mend: 'Raise memoryMb, or keep less in memory: buffers count as the heap does.',
  },
  ERR_WORKER_STOPPED: {
    kind: 'delivery',
    final: true,
    means: 'A worker has failed too often and is not started again; its messages become dead letters.',
    mend: 'Mend what it fails with, then kill(id) and spawn it again, and replay the dead letters.',
  },
  ERR_WORKER_THREAD_KEY: {
    kind: 'program',
    means: 'A route in a thread has a key function, which can not cross to where order is kept.',
    mend: "Name a parameter of the pattern instead: key: 'room'.",
  },
  // --- publications and requests to the broker --------------------------------------------------
  ERR_NOT_CONNECTED: {
    kind: 'delivery',
    means: 'Something was asked of the broker while there was no connection to it.',
    mend: 'Wait until the server is ready, or let publish() wait in the outbox with QoS 1.',
  },
  ERR_CONNECTION_CLOSED: {
    kind: 'delivery',
    means: 'The connection ended before the broker answered; it may or may not have done what was asked.',
    mend: 'Ask again when connected; the receivers of a message may get it twice.',
  },
  ERR_PUBLISH_REFUSED: {
    kind: 'delivery',
    means: 'The broker did not take a publication; the message names its reason code.',
    mend: 'Check the rights of this client for the topic, and the limits of the broker.',
  },
  ERR_PUBLISH_TOO_LARGE: {
    kind: 'delivery',
    means: 'A publication is larger than the broker, or MQTT itself, takes.',
    mend: "Publish less at once, or raise the broker's maximum packet size.",
  },
  ERR_PUBLISH_DROPPED: {
    kind: 'delivery',
    means: 'A publication that waited made room for a newer one, because the outbox was full.',
    mend: 'Raise outbox.maxMessages or outbox.maxBytes, or set outbox.whenFull to reject.',
  },
  ERR_PUBLISH_EXPIRED: {
    kind: 'delivery',
    means: 'A publication waited for the broker longer than it is of use.',
    mend: 'Give it a longer messageExpiryInterval, or raise outbox.maxAge.',
  },
  ERR_PUBLISH_QUARANTINED: {
    kind: 'delivery',
    means: 'A publication was sent three times, and each time the broker ended the connection at once.',
    mend: "Look into the broker's log: most likely it is too large for the broker, or not allowed.",
  },
  ERR_PUBLISH_INVALID: {
    kind: 'program',
    means: 'An option or property given to publish() is unknown, or can not be sent.',
    mend: 'The message names it, and what there is or what it must be.',
  },
  ERR_UNSUBSCRIBE_REFUSED: {
    kind: 'connection',
    means: 'The broker refused to end a subscription.',
    mend: 'Check the rights of this client at the broker.',
  },
  // --- what survives a crash --------------------------------------------------------------------
  ERR_JOURNAL_OPEN: {
    kind: 'config',
    means: 'The folder of a journal can not be made, read or written.',
    mend: 'Give a stateDir on a disk of this machine that this user may write to.',
  },
  ERR_JOURNAL_LOCKED: {
    kind: 'config',
    means: 'Another process has the journal.',
    mend: 'Give each process a client id of its own, and more than 64 another stateDir; or end the process that the message names.',
  },
  ERR_JOURNAL_WRITE: {
    kind: 'delivery',
    means: 'The disk did not take a record of the journal: it counts as not stored.',
    mend: 'See the cause: a full disk needs space. The next write tries again.',
  },
  ERR_JOURNAL_FULL: {
    kind: 'delivery',
    means: 'A journal holds as many records, or bytes, as it may.',
    mend: 'Take some out, or raise its limit.',
  },
  ERR_JOURNAL_CLOSED: {
    kind: 'program',
    means: 'A journal was used after it was closed.',
    mend: 'Close it last.',
  },
  ERR_DEAD_LETTERS_FULL: {
    kind: 'delivery',
    means: 'As many dead letters are kept as may be; the message stays unacknowledged.',
    mend: 'Look at them with mqttasgi dlq ls, replay or purge them, or raise deadLetter.maxMessages and maxBytes.',
  },
  ERR_DEAD_LETTER_UNKEPT: {
    kind: 'delivery',
    means: 'A store took a dead letter without keeping it, or can not tell whether it does.',
    mend: 'Let something with a lasting session subscribe to the dead-letter topic, or use the journal.',
  },
  ERR_DEAD_LETTER_REDIS: {
    kind: 'delivery',
    means: 'Redis did not confirm within its time that it keeps, or has removed, a dead letter.',
    mend: 'See that it runs, can be reached, and has memory; it is asked again.',
  },
  ERR_DEAD_LETTERS_ELSEWHERE: {
    kind: 'config',
    means: 'There are no dead letters that mqttasgi dlq could look at: they go to a topic, or nowhere.',
    mend: 'Subscribe to the topic that the message names, or keep dead letters in the journal or in Redis.',
  },
  ERR_DEAD_LETTER_UNREADABLE: {
    kind: 'delivery',
    means: 'Something is no dead letter, or one that a later version of mqttasgi has written.',
    mend: 'Read it with the version that wrote it.',
  },
  // --- channels ---------------------------------------------------------------------------------
  ERR_CHANNEL_NAME: {
    kind: 'program',
    means: 'The name of a channel, of a group or of a prefix is not one a channel layer allows.',
    mend: 'Use fewer than 100 letters of ASCII, digits, hyphens, underscores and periods.',
  },
  ERR_CHANNEL_EVENT: {
    kind: 'program',
    means: 'What was to be sent over a channel layer is no event: it has no type, or is not plain data.',
    mend: 'Send an object with a type such as alarm.raised, of texts, numbers, booleans, null, bytes, lists and objects.',
  },
  ERR_CHANNEL_FULL: {
    kind: 'delivery',
    means: 'A channel has as many unread events as it may have, and has not got this one.',
    mend: 'Look at why nobody receives from the channels that the error names, or raise channels.capacity.',
  },
  ERR_CHANNEL_LAYER: {
    kind: 'delivery',
    means: 'There is no channel layer, or what is behind it has not answered in time.',
    mend: 'Look at the server that the message names; it may still have taken the event.',
  },
  ERR_CHANNEL_CLOSED: {
    kind: 'program',
    means: 'A channel layer was used after it was closed.',
    mend: 'Close it when nobody sends or receives any more, or open another one.',
  },
  // --- embedded broker --------------------------------------------------------------------------
  ERR_PEER_MISSING: {
    kind: 'config',
    means: 'A package that is only needed for this feature is not installed, or too old.',
    mend: 'Run the npm install command of the message.',
  },
  ERR_BROKER_OPTION: {
    kind: 'config',
    means: 'The embedded broker was given an option it does not take, or a host that is not loopback.',
    mend: 'Give a port from 0 to 65535 and 127.0.0.1, ::1 or localhost as host.',
  },
  ERR_BROKER_PORT: {
    kind: 'config',
    means: 'The embedded broker can not listen on its port: it is taken, or not allowed.',
    mend: 'Stop what listens there, connect to that broker instead, or give another port.',
  },
  ERR_BROKER_CLOSED: {
    kind: 'program',
    means: 'The embedded broker was used after it was closed.',
    mend: 'Publish before close(), or start another one.',
  },
  // --- testing ----------------------------------------------------------------------------------
  ERR_COMMUNICATOR_TIMEOUT: {
    kind: 'delivery',
    means: 'A consumer under test did not do in time what the test waited for. It goes on.',
    mend: 'Look at what it does instead, or give more time.',
  },
} as const

/** One of the codes of `errorCodes`. */
export type ErrorCode = keyof typeof errorCodes

const entries: Readonly<Record<ErrorCode, ErrorEntry>> = errorCodes

/** What an error may carry besides its message. */
export interface ErrorDetails {
  readonly cause?: unknown
  readonly topic?: string
  readonly receiver?: string
  /** Those that were full. */
  readonly channels?: readonly string[]
}

/**
 * Every error this package throws on purpose.
 *
 * `code` is one of `errorCodes`; `cause` keeps what was thrown first; `topic` and `receiver` say where
 * it happened, when there is such a place.
 *
 * @example
 * try { pattern('a+') } catch (error) { if (error instanceof MqttasgiError) console.error(error.code) }
 */
export class MqttasgiError extends Error {
  readonly code: ErrorCode
  readonly topic: string | undefined
  readonly receiver: string | undefined
  /** With `ERR_CHANNEL_FULL`: the channels that have not got the event. */
  readonly channels: readonly string[] | undefined

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(shortened(message, details.topic), 'cause' in details ? { cause: details.cause } : undefined)
    this.code = code
    this.topic = details.topic
    this.receiver = details.receiver
    this.channels = details.channels
  }

  /** The kind of mistake or event behind the code. */
  get kind(): ErrorEntry['kind'] {
    return entries[this.code].kind
  }

  /** A message that failed with it is not tried again: it would fail in the same way. */
  get isFinal(): boolean {
    return this.kind === 'program' || entries[this.code].final === true
  }
}

// A topic is a stranger's text and can have 65,535 bytes; `topic` keeps all of it.
function shortened(message: string, topic: string | undefined): string {
  return topic === undefined || topic.length <= MOST_SHOWN
    ? message
    : message.replaceAll(topic, () => inLog(topic))
}

// On the prototype, so that a stack trace and a printed error both begin with it.
MqttasgiError.prototype.name = 'MqttasgiError'

/** Whatever was thrown, as an Error: strings and objects are wrapped, errors are kept. */
export function toError(thrown: unknown): Error {
  if (isWhole(thrown)) return thrown
  return new Error(typeof thrown === 'string' ? thrown : `A value was thrown: ${textOf(thrown)}`, {
    cause: thrown,
  })
}

// Some make errors whose name or message is no text, or whose own code fails; all that is said of them would fail too.
function isWhole(thrown: unknown): thrown is Error {
  try {
    return thrown instanceof Error && typeof thrown.message === 'string' && typeof thrown.name === 'string'
  } catch {
    return false
  }
}

// What has no prototype has no text either, and String() would throw for it.
function textOf(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return `it is of type ${typeof thrown}`
  }
}
