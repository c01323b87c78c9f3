// Which routes hear what their own server publishes without being told: what they do with it may begin it anew.
import { covers } from '../core/filter-cover.ts'
import { overlaps } from '../core/filter-overlap.ts'
import type { Interest } from '../core/receiver.ts'

/** Something that a server publishes by itself. */
export interface OwnPublications {
  /** Of the topics it goes to. */
  readonly filter: string
  /** What it is, and which option says where it goes. */
  readonly what: string
}

/** One sentence for each that routes hear beside what they are for. */
export function heardByRoutes(
  interests: readonly Interest[],
  own: readonly OwnPublications[],
  protocolVersion: 4 | 5,
): string[] {
  return own.flatMap(({ filter, what }) => {
    const routes = interests.filter((interest) => hears(interest, filter, protocolVersion))
    if (routes.length === 0) return []
    const names = [...new Set(routes.map(({ source }) => `"${source}"`))].join(', ')
    return [`${names} also ${routes.length === 1 ? 'hears' : 'hear'} ${what}`]
  })
}

// Whoever asks for nothing else wants to hear it.
function hears({ filter, noLocal }: Interest, own: string, protocolVersion: 4 | 5): boolean {
  if (noLocal && protocolVersion === 5) return false
  return overlaps(filter, own) && !covers(own, filter)
}
