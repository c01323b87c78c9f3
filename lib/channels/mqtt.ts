// The public face `mqttasgi/channels/mqtt`: the channel layer over the MQTT broker itself.
export { MqttChannelLayer, type MqttChannelLayerOptions } from './mqtt-channel-layer.ts'
