// Publications that outlive the process that made them, and the port to where they are kept.
import type { PublishOptions } from './message.ts'

/** A publication as it is kept. */
export interface KeptPublication {
  /** Unique in its store, also over restarts. */
  readonly key: string
  readonly topic: string
  readonly payload: Buffer
  readonly options: Pick<PublishOptions, 'qos' | 'retain' | 'properties'>
  /** Milliseconds since 1970 at which `publish()` was called. */
  readonly publishedAt: number
}

/** Where they are kept. Calls take effect in the order they were made, also where nobody awaits them. */
export interface OutboxStore {
  /** For people: `/var/lib/app/outbox`. */
  readonly name: string
  /** What is kept, in the order in which it was. Called once, before anything is added. */
  load(): Promise<readonly KeptPublication[]>
  /** Resolves when the publication outlives a crash of this process; rejects when that is not sure. */
  keep(publication: KeptPublication): Promise<void>
  /** Takes it out, if it is there. What a crash undoes of that is sent a second time. */
  remove(key: string): Promise<void>
  /** Resolves when all that was asked for is done, and the store may be opened by somebody else. */
  close(): Promise<void>
}
