// Which routes hear what their own server publishes without being told: what they do with it may begin it anew.
import { covers } from '../core/filter-cover.ts'
import { overlaps } from '../core/filter-overlap.ts'
import type { Interest } from '../core/receiver.ts'

/** Something that a server publishes by itself. */
export interface OwnPublications {
  /** Of all that is meant for it: whoever asks for nothing else wants to hear it. */
  readonly filter: string
  /** Of the topics that it goes to; left out where `filter` says it. */
  readonly topics?: readonly string[]
  /** What it is, and which option says where it goes. */
  readonly what: string
}

/** One sentence for each route, and for each that it hears beside what it is for. */
export function heardByRoutes(
  interests: readonly Interest[],
  own: readonly OwnPublications[],
  protocolVersion: 4 | 5,
): string[] {
  const sentences = interests.flatMap((interest) =>
    own
      .filter((publications) => hears(interest, publications, protocolVersion))
      .map(({ what }) => `"${interest.source}" also hears ${what}`),
  )
  return [...new Set(sentences)]
}

function hears(
  { filter, noLocal }: Interest,
  { filter: meant, topics = [meant] }: OwnPublications,
  protocolVersion: 4 | 5,
): boolean {
  if (noLocal && protocolVersion === 5) return false
  return !covers(meant, filter) && topics.some((topic) => overlaps(filter, topic))
}
