// Every option of mqttasgi with its default. Copy this to mqttasgi.config.ts and keep what you change.
// Durations are in seconds; paths are relative to this file.
import { defineConfig } from 'mqttasgi/config'

export default defineConfig({
  // An application, or the file that exports one: ./file.ts#export; without # its default export, else app.
  application: './app.ts',

  broker: {
    // The broker as one address: mqtt, mqtts, ws or wss, or unix:///path/to/socket.
    // url: 'mqtt://localhost:1883',

    // The broker's host name or address.
    host: 'localhost',

    // The broker's port.
    // port: 1883,

    // A unix socket of the broker, instead of host and port.
    // socketPath: '/run/mosquitto/mosquitto.sock',

    // How to reach the broker: tcp or websockets.
    transport: 'tcp',

    // The path of the websocket, with its query if it needs one.
    // wsPath: '/mqtt',

    // The client id; each running process needs its own.
    // clientId: 'greenhouse-1',

    // Start without an old session; false keeps what arrives while the process is away, and needs a client id.
    clean: true,

    // Seconds the broker keeps the session after the connection has ended (MQTT 5).
    // sessionExpiry: 3600,

    // What follows when the broker has lost the session: continue subscribes again, stop ends with exit code 1.
    onSessionLoss: 'continue',

    // will: {
    //   The last will: the topic on which the broker says that this process is gone without a word.
    //   topic: 'status/greenhouse-1',

    //   What the broker publishes there.
    //   payload: 'gone',

    //   With which QoS.
    //   qos: 1,

    //   Retained, so that those who subscribe later hear of it too.
    //   retain: true,

    //   Seconds the broker waits with it; not published when the session goes on before (MQTT 5).
    //   delay: 30,
    // },

    // The user name for the broker.
    // username: 'greenhouse',

    // The password for the broker; give it in the environment, for flags can be seen by others.
    // password: process.env.GREENHOUSE_PASSWORD,

    // A file with the password, read again before each attempt to connect.
    // passwordFile: '/run/secrets/broker',

    // Encrypt the connection; with no CA given, the system's are trusted.
    // tls: true,

    // tls: {
    //   PEM file of the CA that signed the broker; turns TLS on.
    //   ca: './tls/ca.pem',

    //   PEM file of our own certificate; needs the key.
    //   cert: './tls/greenhouse.crt',

    //   PEM file of the private key of our certificate.
    //   key: './tls/greenhouse.key',

    //   The name the broker's certificate must carry, when it is not the host.
    //   servername: 'broker.internal',

    //   Protocol names to offer (ALPN), separated by commas.
    //   alpn: ['mqtt'],
    // },

    // auto tries MQTT 5 and falls back to 3.1.1; 5 or 4 (3.1.1) fixes it.
    protocolVersion: 'auto',

    // Seconds of silence after which the broker is asked for a sign of life; 0 never asks.
    keepalive: 60,

    // Seconds one attempt to connect may take.
    connectTimeout: 10,

    // The topic below which shared subscriptions are tried on MQTT 3.1.1, where brokers may only pretend; off believes them.
    shareProbe: 'mqttasgi/probe',

    // Further attempts to connect in one outage before giving up with exit code 1; 0 never gives up.
    retries: 3,
  },

  // Further applications on the same connection, each with an id, a place and parameters of its own.
  // workers: [{ id: 'climate', mount: 'building/+floor', application: './climate.ts', params: { unit: 'C' } }],

  // On MQTT 3.1.1, where routes overlap: accept runs each copy that comes, superset asks for one wider filter.
  // overlap: 'accept',

  // Seconds the running handlers are given at a stop; after that the exit code is 3.
  drainTimeout: 25,

  // This instance does not come back: at a stop it gives up what it shares with others, and its session.
  leaveOnStop: false,

  // Messages that may be unacknowledged at one time; the broker is told (Receive Maximum).
  maxInFlight: 32,

  // Bytes that may wait in memory before reading from the broker pauses.
  maxInFlightBytes: 16_777_216,

  // The largest packet that is handled; of larger messages a dead letter without payload is kept.
  maxPacketBytes: 16_777_216,

  // The most levels of a topic; messages on deeper ones are acknowledged and counted, not routed.
  // maxTopicLevels: 64,

  // Publications that may follow from each other through handlers before one is refused as a loop (MQTT 5); 0 does not count.
  maxHops: 8,

  // Filters of the topics that ctx.reply() may publish to, separated by commas.
  // replyTopics: ['clients/+/replies/#'],

  // QoS 2: downgrade asks the broker for QoS 1; durable asks for 2 and keeps in stateDir what was done with.
  qos2: 'downgrade',

  // The folder of what must survive a crash; made when it is needed.
  stateDir: '.mqttasgi',

  deadLetter: {
    // Where messages go that nobody could handle: journal (in stateDir), topic, redis or none.
    store: 'journal',

    // The topic of the store topic; somebody must subscribe to it, or nothing is acknowledged.
    // topic: 'dead-letters/greenhouse',

    // The address of the store redis: redis:// or rediss://; give it in the environment.
    // redis: process.env.GREENHOUSE_REDIS,

    // Trust a dead-letter topic also on MQTT 3.1.1, which can not tell whether anybody subscribes.
    unverified: false,

    // Dead letters that are kept at most; then nothing more that fails is acknowledged.
    maxMessages: 10_000,

    // Bytes of dead letters that are kept at most.
    maxBytes: 268_435_456,
  },

  outbox: {
    // Publications that may wait for the broker.
    maxMessages: 1_000,

    // Bytes of publications that may wait for the broker.
    maxBytes: 16_777_216,

    // Seconds a publication may wait for the broker; then it is given up.
    // maxAge: 3600,

    // What gives way when too much waits: reject refuses the new publication, or drop-oldest.
    whenFull: 'reject',

    // Filters of topics of which only the newest waiting publication is sent, separated by commas.
    // latest: ['status/#'],

    // What becomes of QoS 0 without a connection: reject, or keep it until there is one.
    qos0: 'reject',

    // Keep publications of QoS 1 and 2 on disk, in stateDir, until the broker has answered.
    durable: false,
  },

  channels: {
    // What carries channel events: memory (within one process), redis, or mqtt (the broker itself).
    layer: 'memory',

    // The address of the layer redis: redis:// or rediss://; give it in the environment.
    // redis: process.env.GREENHOUSE_CHANNELS,

    // Begins the keys or topics of the channel layer; others with another prefix do not hear them.
    prefix: 'asgi',

    // Unread events in one channel; one more is an error.
    capacity: 100,

    // Seconds an event waits to be received.
    expiry: 60,

    // Seconds a channel stays in a group it was added to.
    groupExpiry: 86_400,

    // Seconds Redis or the broker may take to confirm what is done with a channel.
    timeout: 5,
  },

  // How much is said: 0 warnings and changes of state, 1 also information, 2 everything.
  verbosity: 0,
})
