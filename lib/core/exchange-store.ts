// The port to where it is kept which QoS 2 messages were done with, for as long as the broker may send them again.

/**
 * What was kept holds over a crash from the moment the promise resolves. The calls take effect in the order they were
 * made. None rejects: what can not be kept now is tried again until it can, and the broker waits for it.
 */
export interface ExchangeStore {
  /**
   * What was kept when it was opened: a fingerprint of the message, by its packet identifier. Nothing when it was
   * left in doubt.
   */
  readonly kept: ReadonlyMap<number, string>
  /** Why nothing can be kept at the moment; undefined while all is well. */
  readonly fault: Error | undefined
  keep(packetId: number, fingerprint: string): Promise<void>
  drop(packetId: number): Promise<void>
  /** The session is another one: its packet identifiers mean other messages. */
  clear(): Promise<void>
  /** A connection is about to be made, and may find another session: until `trust` nobody may rely on what is kept. */
  doubt(): Promise<void>
  /** What is kept is of the session that goes on. */
  trust(): Promise<void>
  close(): Promise<void>
}
