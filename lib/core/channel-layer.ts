// The port to channel layers: messages between consumers and processes that are not MQTT messages.

/**
 * What is sent over a channel layer. All of it must be plain data: texts, numbers, booleans, null, bytes, lists, objects. A
 * field that is undefined is left out.
 */
export interface ChannelEvent {
  /** Names the handler; words joined by dots: `alarm.raised`. */
  readonly type: string
  readonly [field: string]: unknown
}

/** What a layer has done in this process since it was made. */
export interface ChannelCounters {
  /** Events that were handed over, one for each `send()` and `groupSend()` that has not failed altogether. */
  sent: number
  /** Events that `receive()` has given out. */
  received: number
  /** Events that found no room, one for each channel that was full. */
  full: number
  /** Events that nobody received within the expiry, or before the layer that held them was closed, as far as this process has seen it. */
  expired: number
  /** What came from elsewhere and is no event. */
  unreadable: number
}

/** How much a layer keeps, and for how long. */
export interface ChannelLimits {
  /** Unread events in one channel. Default: 100. */
  readonly capacity?: number | undefined
  /** Seconds an event waits to be received. Default: 60. */
  readonly expiry?: number | undefined
  /** Seconds a channel stays in a group it was added to. Default: 86,400. */
  readonly groupExpiry?: number | undefined
}

/**
 * Channels and groups, as the Channel Layers specification has them: at most once, in order per sender, at most
 * `capacity` unread events in a channel. What does not fit is an error, and counted; nothing is dropped silently.
 */
export interface ChannelLayer {
  /** For people: which layer this is, and where. */
  readonly name: string
  readonly counters: Readonly<ChannelCounters>
  /** Seconds a channel stays in a group; whoever stays longer is added again. */
  readonly groupExpiry: number
  /** Codes: `ERR_CHANNEL_NAME`, `ERR_CHANNEL_EVENT`, `ERR_CHANNEL_FULL`, `ERR_CHANNEL_LAYER`, `ERR_CHANNEL_CLOSED`. */
  send(channel: string, event: ChannelEvent): Promise<void>
  /** The next event of a channel; rejects with the reason of `signal` when that aborts first, and loses nothing then. */
  receive(channel: string, signal?: AbortSignal): Promise<ChannelEvent>
  /** A name that nobody else has; only this process can receive from it. */
  newChannel(prefix?: string): Promise<string>
  /** For `groupExpiry` seconds, or until it is discarded. */
  groupAdd(group: string, channel: string): Promise<void>
  groupDiscard(group: string, channel: string): Promise<void>
  /** Rejects with `ERR_CHANNEL_FULL` when some members were full; all others have got it. */
  groupSend(group: string, event: ChannelEvent): Promise<void>
  /** Forgets all channels and groups of this layer. */
  flush(): Promise<void>
  /** Lets go of connections; whoever waits in `receive` is told `ERR_CHANNEL_CLOSED`. */
  close(): Promise<void>
}

/** Nothing has been done yet. */
export function zeroChannelCounters(): ChannelCounters {
  return { sent: 0, received: 0, full: 0, expired: 0, unreadable: 0 }
}
