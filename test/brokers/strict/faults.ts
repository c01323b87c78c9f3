// What the strict broker can be told to do to its clients: all of it real brokers and networks do.

/** What the network does to a connection. */
export interface NetworkFaults {
  /** It ends when so many bytes have gone this way: `up` is what the client sends. Once. */
  cut: { readonly direction: 'up' | 'down'; readonly afterBytes: number } | undefined
  /** Each byte to the client is a write of its own. */
  chunked: boolean
  /** Nothing is read any more, and nothing written. */
  silent: boolean
}

/** What a broker does with a session. Heeded from the next connection on. */
export interface Habits {
  /** A redelivery has another packet id, as RabbitMQ and aedes have it. */
  renumbers: boolean
  /** A redelivery does not say that it is one, as with aedes. */
  dropsDup: boolean
  /** Receive Maximum means nothing, as for mosquitto 2.0.11. */
  ignoresWindow: boolean
}

/** May be changed at any time. */
export interface StrictFaults extends NetworkFaults, Habits {
  /** One packet for all subscriptions of a client that match, instead of one for each. */
  mergesCopies: boolean
  /** Nothing is delivered until `flow`. */
  holdsDeliveries: boolean
  /** Publications of clients are not answered until `answer`. */
  holdsAnswers: boolean
}

export function noFaults(): StrictFaults {
  return {
    cut: undefined,
    chunked: false,
    silent: false,
    renumbers: false,
    dropsDup: false,
    ignoresWindow: false,
    mergesCopies: false,
    holdsDeliveries: false,
    holdsAnswers: false,
  }
}
