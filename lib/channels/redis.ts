// The public face `mqttasgi/redis`: the channel layer over Redis.
export { RedisChannelLayer, type RedisChannelLayerOptions } from './redis-channel-layer.ts'
