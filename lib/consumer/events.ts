// The event protocol: what a raw application is told, and what it may ask for, as in the original ASGI server.
import type {
  MessageProperties,
  Payload,
  PublishProperties,
  PublishResult,
  QoS,
  SubscribeOptions,
  SubscribeResult,
} from '../core/message.ts'
import type { DisconnectReason, SessionInfo } from '../core/receiver.ts'
import type { ScopeParams } from '../core/scope.ts'
import type { WorkerApplication, WorkerHandle, WorkerOptions } from '../core/workforce.ts'

/** After each CONNACK. */
export interface MqttConnectEvent {
  readonly type: 'mqtt.connect'
  readonly mqtt: { readonly session: SessionInfo }
}

/** A message of one of the subscriptions: once, however many of them match. */
export interface MqttMessageEvent {
  readonly type: 'mqtt.msg'
  readonly mqtt: {
    readonly topic: string
    /** The bytes as they came. */
    readonly payload: Buffer
    /** The quality of service it was delivered with. */
    readonly qos: QoS
    /** Set on retained messages that a subscription brought. */
    readonly retain: boolean
    /** The broker says that it may have delivered this before. */
    readonly dup: boolean
    /** MQTT 5 properties; empty on 3.1.1. */
    readonly properties: MessageProperties
  }
}

/** The end: killed, stopped, or given up. A lost connection is none: `mqtt.connect` comes again when there is a new one. */
export interface MqttDisconnectEvent {
  readonly type: 'mqtt.disconnect'
  readonly mqtt: { readonly reason: DisconnectReason }
}

/** What `receive()` resolves with. */
export type IncomingEvent = MqttConnectEvent | MqttMessageEvent | MqttDisconnectEvent

/** Publishes; resolves with the broker's answer. */
export interface MqttPublishEvent {
  readonly type: 'mqtt.pub'
  readonly mqtt: {
    readonly topic: string
    readonly payload?: Payload
    /** Default: 1. */
    readonly qos?: QoS
    /** Default: false. */
    readonly retain?: boolean
    /** MQTT 5 only. */
    readonly properties?: PublishProperties
  }
}

/** Subscribes; resolves with what was granted, rejects with `ERR_SUBSCRIBE_REFUSED`. */
export interface MqttSubscribeEvent {
  readonly type: 'mqtt.sub'
  readonly mqtt: SubscribeOptions & {
    /** The filter. */
    readonly topic: string
    /** Default: 1. */
    readonly qos?: QoS
  }
}

/** Takes a subscription back. */
export interface MqttUnsubscribeEvent {
  readonly type: 'mqtt.usub'
  readonly mqtt: { readonly topic: string }
}

/** Starts a worker. From the master only: `ERR_WORKER_FORBIDDEN`. */
export interface WorkerSpawnEvent {
  readonly type: 'mqttasgi.worker.spawn'
  readonly command: {
    /** Unique on the server. */
    readonly app_id: string | number
    /** `./file.ts#export`, or what is run itself. */
    readonly consumer_path: WorkerApplication
    readonly consumer_params?: ScopeParams
    /** How else it is run. */
    readonly options?: Omit<WorkerOptions, 'params'>
  }
}

/** Ends a worker. From the master only: `ERR_WORKER_FORBIDDEN`. */
export interface WorkerKillEvent {
  readonly type: 'mqttasgi.worker.kill'
  readonly command: { readonly app_id: string | number }
}

/** What `send()` takes. */
export type OutgoingEvent =
  | MqttPublishEvent
  | MqttSubscribeEvent
  | MqttUnsubscribeEvent
  | WorkerSpawnEvent
  | WorkerKillEvent

/** What `send()` resolves with. */
export interface SendResults {
  readonly 'mqtt.pub': PublishResult
  readonly 'mqtt.sub': SubscribeResult
  readonly 'mqtt.usub': undefined
  readonly 'mqttasgi.worker.spawn': WorkerHandle
  readonly 'mqttasgi.worker.kill': undefined
}

/** Who a raw application is: its params, and over them what the server says. */
export interface RawScope {
  readonly type: 'mqtt'
  readonly version: string
  readonly spec_version: string
  /** 0 for the application, the worker's id otherwise. */
  readonly app_id: string | number
  readonly instance_type: 'master' | 'worker'
  readonly [param: string]: unknown
}

/**
 * The next event. To ask for it means that the one before is done with: a message is acknowledged then. Rejects with
 * `ERR_STOPPED` after `mqtt.disconnect`.
 */
export type RawReceive = () => Promise<IncomingEvent>

/** Asks for something; resolves with its result, and rejects with what refused it. `ERR_EVENT_INVALID` for no event. */
export type RawSend = <E extends OutgoingEvent>(event: E) => Promise<SendResults[E['type']]>

/**
 * An application in the ASGI form: called once for each instance, it asks for one event after the other. What it
 * throws fails the message in hand and ends the instance.
 *
 * @example
 * const echo: RawApplication = async (scope, receive, send) => {
 *   for (;;) {
 *     const event = await receive()
 *     if (event.type === 'mqtt.connect') await send({ type: 'mqtt.sub', mqtt: { topic: 'in/#', qos: 1 } })
 *     if (event.type === 'mqtt.msg') await send({ type: 'mqtt.pub', mqtt: { topic: 'out', payload: event.mqtt.payload } })
 *     if (event.type === 'mqtt.disconnect') return
 *   }
 * }
 */
export type RawApplication = (scope: RawScope, receive: RawReceive, send: RawSend) => Promise<void>
