// What a server counts: every way a message can end, and every surprise of the broker's.

export interface Counters {
  /** PUBLISH packets that arrived. */
  received: number
  handled: number
  /** Could not be handled, and were not kept. */
  failed: number
  /** Could not be handled, and were kept as dead letters. */
  deadLettered: number
  /** A handler threw `Drop`. */
  dropped: number
  /** Attempts beyond the first. */
  retried: number
  /** Thrown away by `overflow`, `throttleMs` or `debounceMs`. */
  shed: number
  /** Retained messages that came again after they had become dead letters; acknowledged. */
  refusedAgain: number
  /** No route of any receiver matched. */
  unmatched: number
  acknowledged: number
  /** Redeliveries that joined a message still in hand. */
  joined: number
  /** Copies of one publication that overlapping filters brought, beyond the one that ran. */
  copies: number
  /** What a least superset brought beyond the routes; acknowledged, not routed. */
  surplus: number
  /** Messages over filters that an older process has left in the session. */
  stale: number
  /** Topics that the standard does not allow; acknowledged, not routed. */
  invalidTopics: number
  /** Topics with more levels than `maxTopicLevels`; acknowledged, not routed. */
  deepTopics: number
  /** Messages above the size limit; acknowledged, not kept. */
  oversized: number
  /** Connections cut because too much was waiting. */
  overflows: number
  connects: number
  /** Connections on which the broker did not know the session that it should have kept. */
  sessionsLost: number
  published: number
  /** Publications refused because too many others had led to them, or their route publishes faster than it may. */
  loops: number
  /** Publications that the broker refused, or that its limits do not allow. */
  publishRefused: number
  /** Publications that ended the connection each time they were sent, and are sent no more. */
  quarantined: number
  /** Publications refused because too many were waiting. */
  outboxFull: number
  /** Publications that made room for newer ones. */
  outboxDropped: number
  /** Publications that waited longer than they are of use. */
  outboxExpired: number
  /** Publications that a newer one of their topic took the place of. */
  outboxSuperseded: number
  /** Publications that an earlier process had left on disk. */
  outboxRestored: number
  /** Channel events whose handlers have ended well. */
  eventsHandled: number
  /** Channel events whose handlers have failed. */
  eventsFailed: number
  /** Channel events of a type that their receiver has not declared. */
  eventsDropped: number
}

export function zeroCounters(): Counters {
  return {
    received: 0,
    handled: 0,
    failed: 0,
    deadLettered: 0,
    dropped: 0,
    retried: 0,
    shed: 0,
    refusedAgain: 0,
    unmatched: 0,
    acknowledged: 0,
    joined: 0,
    copies: 0,
    surplus: 0,
    stale: 0,
    invalidTopics: 0,
    deepTopics: 0,
    oversized: 0,
    overflows: 0,
    connects: 0,
    sessionsLost: 0,
    published: 0,
    loops: 0,
    publishRefused: 0,
    quarantined: 0,
    outboxFull: 0,
    outboxDropped: 0,
    outboxExpired: 0,
    outboxSuperseded: 0,
    outboxRestored: 0,
    eventsHandled: 0,
    eventsFailed: 0,
    eventsDropped: 0,
  }
}
