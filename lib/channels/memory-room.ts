// What a channel layer in memory keeps; all layers of one process with the same prefix may share it.
import { zeroChannelCounters, type ChannelCounters, type ChannelLimits } from '../core/channel-layer.ts'
import type { Clock } from '../core/clock.ts'
import { Groups } from './groups.ts'
import { decidedLimits } from './limits.ts'
import { Mailboxes } from './mailboxes.ts'

export class MemoryRoom {
  readonly counters: ChannelCounters = zeroChannelCounters()
  readonly capacity: number
  /** In seconds. */
  readonly groupExpiry: number
  readonly mailboxes: Mailboxes
  readonly groups: Groups

  /** Throws `ERR_CONFIG_VALUE` for a limit that is none. */
  constructor(limits: ChannelLimits, clock: Pick<Clock, 'now'> = performance) {
    const decided = decidedLimits(limits)
    this.capacity = decided.capacity
    this.groupExpiry = decided.groupExpiryMs / 1_000
    this.mailboxes = new Mailboxes({ ...decided, layer: 'memory', counters: this.counters, clock })
    this.groups = new Groups(clock, decided.groupExpiryMs)
  }
}

interface Shared {
  readonly room: MemoryRoom
  holders: number
}

const rooms = new Map<string, Shared>()

/**
 * The room of this process for a prefix, with the limits of whoever came first; `leave` is called once by each holder,
 * and with the last one it is forgotten.
 */
export function sharedRoom(prefix: string, limits: ChannelLimits): { room: MemoryRoom; leave: () => void } {
  const shared = rooms.get(prefix) ?? { room: new MemoryRoom(limits), holders: 0 }
  rooms.set(prefix, shared)
  shared.holders++
  const leave = (): void => {
    if (--shared.holders === 0) rooms.delete(prefix)
  }
  return { room: shared.room, leave }
}
