// The public face `mqttasgi/config`: what a configuration file imports.
export {
  type ApplicationLike,
  type BrokerInput,
  type DeadLetterInput,
  type ConfigContext,
  type ConfigExport,
  type ConfigInput,
  type ConsumerLike,
  type OutboxInput,
  defineConfig,
  type ServeInput,
  type TlsInput,
  type WillInput,
  type WorkerInput,
} from './input.ts'
