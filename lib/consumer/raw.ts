// The adapter of raw applications: a consumer whose hooks are the events that the application asks for.
import { Deferred } from '../core/deferred.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import type { HostedReceiver, ReceiverIdentity } from '../core/hosted.ts'
import { inLog } from '../core/log.ts'
import type { DisconnectReason, SessionInfo } from '../core/receiver.ts'
import { ConsumerReceiver } from './consumer-receiver.ts'
import { MqttConsumer, type ConsumerMessage } from './consumer.ts'
import type {
  IncomingEvent,
  OutgoingEvent,
  RawApplication,
  RawReceive,
  RawScope,
  RawSend,
  SendResults,
} from './events.ts'

/** The version of the original whose protocol this is. */
const VERSION = '2.4'
const SPEC_VERSION = '0.1'

type Result = SendResults[keyof SendResults]

/** How one application that was given as a function runs. */
class RawConsumer extends MqttConsumer<object> {
  readonly #application: RawApplication
  readonly #ended: (error: Error | undefined) => void
  // The event that the application has not asked for yet, and the one it works on.
  #offered: { readonly event: IncomingEvent; readonly done: Deferred } | undefined = undefined
  #inHand: Deferred | undefined = undefined
  #asked: Deferred<IncomingEvent> | undefined = undefined
  #isRunning = false
  #isOver = false

  constructor(application: RawApplication, ended: (error: Error | undefined) => void) {
    super()
    this.#application = application
    this.#ended = ended
  }

  override connect(session: SessionInfo): Promise<void> {
    const done = this.#offer({ type: 'mqtt.connect', mqtt: { session } })
    if (!this.#isRunning) void this.#run()
    return done
  }

  override receive({ dup, payload, properties, qos, retain, topic }: ConsumerMessage): Promise<void> {
    return this.#offer({ type: 'mqtt.msg', mqtt: { topic, payload, qos, retain, dup, properties } })
  }

  override async disconnect(reason: DisconnectReason): Promise<void> {
    if (this.#isOver) return
    await this.#offer({ type: 'mqtt.disconnect', mqtt: { reason } })
    this.#isOver = true
    this.#asked?.reject(noMore())
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    const receive: RawReceive = () => this.#next()
    const send: RawSend = <E extends OutgoingEvent>(event: E) =>
      this.#send(event) as Promise<SendResults[E['type']]>
    let failure: Error | undefined
    try {
      await this.#application(scopeOf(this), receive, send)
    } catch (thrown) {
      failure = toError(thrown)
    }
    const wasOver = this.#isOver
    this.#isOver = true
    // After mqtt.disconnect nobody waits for how it ends.
    if (wasOver) return
    const said = this.#offered?.done ?? this.#inHand
    this.#ended(failure)
    if (failure === undefined) said?.resolve()
    else said?.reject(failure)
  }

  #offer(event: IncomingEvent): Promise<void> {
    const done = new Deferred()
    if (this.#isOver) done.reject(noMore())
    else if (this.#asked === undefined) this.#offered = { event, done }
    else this.#give(event, done, this.#asked)
    return done.promise
  }

  async #next(): Promise<IncomingEvent> {
    if (this.#isOver) throw noMore()
    if (this.#asked !== undefined) {
      throw new MqttasgiError(
        'ERR_EVENT_INVALID',
        'receive() was called a second time before the first one had an event. Await it first.',
      )
    }
    const asked = new Deferred<IncomingEvent>()
    this.#asked = asked
    this.#inHand?.resolve()
    this.#inHand = undefined
    const offered = this.#offered
    if (offered !== undefined) this.#give(offered.event, offered.done, asked)
    return asked.promise
  }

  #give(event: IncomingEvent, done: Deferred, asked: Deferred<IncomingEvent>): void {
    this.#offered = undefined
    this.#asked = undefined
    this.#inHand = done
    asked.resolve(event)
  }

  async #send(event: OutgoingEvent): Promise<Result> {
    checkFields(event)
    switch (event.type) {
      case 'mqtt.pub': {
        const { payload, topic, ...options } = event.mqtt
        return this.publish(topic, payload, options)
      }
      case 'mqtt.sub': {
        const { topic, ...options } = event.mqtt
        return this.subscribe(topic, options)
      }
      case 'mqtt.usub':
        await this.unsubscribe(event.mqtt.topic)
        return undefined
      case 'mqttasgi.worker.spawn': {
        const { app_id: id, consumer_params: params, consumer_path: application, options } = event.command
        return this.spawn(String(id), application, {
          ...options,
          ...(params === undefined ? {} : { params }),
        })
      }
      case 'mqttasgi.worker.kill':
        await this.kill(String(event.command.app_id))
        return undefined
    }
  }
}

/** A raw application as a receiver. */
export function rawReceiver(application: RawApplication, identity: ReceiverIdentity): HostedReceiver {
  const consumer = new RawConsumer(application, (error) => void receiver.end(error))
  const receiver = new ConsumerReceiver(consumer, MqttConsumer, identity)
  return receiver
}

function scopeOf({ scope }: MqttConsumer<object>): RawScope {
  const { appId, instanceType, params, type } = scope
  return {
    ...params,
    type,
    version: VERSION,
    spec_version: SPEC_VERSION,
    app_id: appId,
    instance_type: instanceType,
  }
}

const fieldOf: Readonly<Record<OutgoingEvent['type'], 'mqtt' | 'command'>> = {
  'mqtt.pub': 'mqtt',
  'mqtt.sub': 'mqtt',
  'mqtt.usub': 'mqtt',
  'mqttasgi.worker.spawn': 'command',
  'mqttasgi.worker.kill': 'command',
}

// What a program without types sends is looked at before anything is asked for.
function checkFields(event: unknown): void {
  const type: unknown = typeof event === 'object' && event !== null ? Reflect.get(event, 'type') : undefined
  if (typeof type !== 'string' || !Object.hasOwn(fieldOf, type)) {
    const got = typeof type === 'string' ? `"${inLog(type)}"` : `a value of type ${typeof type}`
    throw new MqttasgiError(
      'ERR_EVENT_INVALID',
      `send() takes events of the types ${Object.keys(fieldOf).join(', ')}, and the type of this one is ${got}.`,
    )
  }
  const field = fieldOf[type as OutgoingEvent['type']]
  const body: unknown = Reflect.get(event as object, field)
  if (typeof body !== 'object' || body === null) {
    throw new MqttasgiError(
      'ERR_EVENT_INVALID',
      `An event of the type ${type} has an object "${field}", and this one has none.`,
    )
  }
  if (field === 'command') checkId(type, Reflect.get(body, 'app_id'))
}

// A number becomes the text that ids are; of anything else that text would be the name of a worker that nobody meant.
function checkId(type: string, id: unknown): void {
  if (typeof id === 'string' || Number.isFinite(id)) return
  throw new MqttasgiError(
    'ERR_EVENT_INVALID',
    `An event of the type ${type} has a text or a number "app_id" in its "command", and this one has ${id === null ? 'null' : `a value of type ${typeof id}`}.`,
  )
}

function noMore(): MqttasgiError {
  return new MqttasgiError(
    'ERR_STOPPED',
    'This application has had its last event: its loop ends with mqtt.disconnect.',
  )
}
