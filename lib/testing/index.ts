// The public face `mqttasgi/testing`: trying an application, and a server, without a broker.
export { MqttCommunicator, type CommunicatorDelivery } from './communicator.ts'
export type { MqttCommunicatorOptions } from './communicator-options.ts'
export { type CommunicatorOutput } from './outputs.ts'
export { FakeClock } from './fake-clock.ts'
export { MemoryBroker } from './memory-broker.ts'
export {
  dispatch,
  type DispatchOptions,
  type DispatchResult,
  type Published,
  type SentEvent,
  type Subscribed,
} from './dispatch.ts'
export type { MemoryDelivery } from './memory-arrival.ts'
export {
  MemoryTransport,
  type MemoryFault,
  type MemoryOperation,
  type MemoryPublication,
} from './memory-transport.ts'
export type {
  ConnectionFailure,
  ConnectionInfo,
  SubscriptionRequest,
  Transport,
} from '../transport/transport.ts'
