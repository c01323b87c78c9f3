// Public face of `mqttasgi/broker`.
export { startBroker, type BrokerPublishOptions, type EmbeddedBroker } from './embedded-broker.ts'
export type { BrokerOptions } from './listen-options.ts'
