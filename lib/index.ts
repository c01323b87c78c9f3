// The public face `mqttasgi`: the application, its routers, and the server that runs it.
export { channelLayer, type ChannelLayerOptions } from './channel-layer.ts'
export { InMemoryChannelLayer, type InMemoryChannelLayerOptions } from './channels/memory.ts'
export {
  mqttasgi,
  type Application,
  type ConnectHandler,
  type DisconnectHandler,
} from './core/application.ts'
export {
  type ChannelContext,
  type ChannelHandler,
  type ChannelHandlerOptions,
} from './core/channel-handlers.ts'
export {
  type ChannelCounters,
  type ChannelEvent,
  type ChannelLayer,
  type ChannelLimits,
} from './core/channel-layer.ts'
export { type Next } from './core/compose.ts'
export {
  type ApplicationHandle,
  type Context,
  type ErrorHandler,
  type Handler,
  type UnmatchedHandler,
} from './core/context.ts'
export {
  MqttConsumer,
  type ChannelHandlers,
  type ConsumerHandler,
  type ConsumerMessage,
  type ConsumerScope,
} from './consumer/consumer.ts'
export {
  type IncomingEvent,
  type MqttConnectEvent,
  type MqttDisconnectEvent,
  type MqttMessageEvent,
  type MqttPublishEvent,
  type MqttSubscribeEvent,
  type MqttUnsubscribeEvent,
  type OutgoingEvent,
  type RawApplication,
  type RawReceive,
  type RawScope,
  type RawSend,
  type SendResults,
  type WorkerKillEvent,
  type WorkerSpawnEvent,
} from './consumer/events.ts'
export { type DeliveryOptions, type KeyContext, type RetryOptions } from './core/delivery-options.ts'
export { errorCodes, MqttasgiError, type ErrorCode, type ErrorEntry } from './core/errors.ts'
export { type JsonLimits } from './core/json-guard.ts'
export { type Logger, type LogFields } from './core/log.ts'
export {
  type Message,
  type MessageProperties,
  type Payload,
  type PublishOptions,
  type PublishProperties,
  type PublishResult,
  type QoS,
  type SubscribeOptions,
  type SubscribeResult,
} from './core/message.ts'
export { Drop, Reject, Retry, type RejectDetails, type RetryRequest } from './core/outcomes.ts'
export { pattern, type Pattern, type TopicParams } from './core/pattern.ts'
export {
  type Attempt,
  type Client,
  type ConcurrencyLimit,
  type DisconnectReason,
  type FailurePolicy,
  type Interest,
  type Order,
  type Outcome,
  type Overflow,
  type Plan,
  type Receiver,
  type RetryPolicy,
  type RunningChain,
  type SessionInfo,
  type SheddingPolicy,
} from './core/receiver.ts'
export { type RouteOptions } from './core/route.ts'
export { Router, type Mountable, type Usable } from './core/router.ts'
export { type Scope, type ScopeParams } from './core/scope.ts'
export {
  decodeTopic,
  isFilter,
  isTopic,
  levels,
  matches,
  sharedFilter,
  type SharedFilter,
} from './core/topic.ts'
export { serve, type ServeOptions, type Server } from './serve.ts'
export { type Counters } from './server/counters.ts'
export { type Closed, type StopOptions, type StopResult } from './server/server-parts.ts'
export {
  type ConnectClient,
  type KillOptions,
  type RestartPolicy,
  type WorkerApplication,
  type WorkerEnd,
  type WorkerHandle,
  type WorkerInfo,
  type WorkerOptions,
  type WorkerState,
  type Workforce,
} from './core/workforce.ts'
