// Reads what a journal's folder holds, as its owner does when it opens it, and as another process that only looks.
import { join } from 'node:path'
import type { JournalFiles } from './journal-files.ts'
import { scanSegment } from './journal-record.ts'
import { type Place, Segments } from './segments.ts'

/** What was found. */
export interface LoadedJournal {
  readonly segments: Segments
  /** Of the newest segment; 0 when there is none. */
  readonly lastSegment: number
  readonly lastSequence: number
  /** Bytes that were no record: the end of a write that a crash has cut off, or damage. */
  readonly damagedBytes: number
}

const NAME = /^(\d{8,})\.journal$/

/** The file of a segment. */
export function segmentFile(folder: string, segment: number): string {
  return join(folder, `${String(segment).padStart(8, '0')}.journal`)
}

/** Reads all segments, one at a time; what they hold is left on the disk. */
export async function loadJournal(
  files: JournalFiles,
  folder: string,
  segmentBytes: number,
): Promise<LoadedJournal> {
  const numbers = (await files.list(folder))
    .flatMap((name) => NAME.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((one, other) => one - other)
  const segments = new Segments(segmentBytes)
  const latest = new Map<string, Place & { readonly isThere: boolean }>()
  let lastSequence = 0
  let damagedBytes = 0
  for (const segment of numbers) {
    const bytes = await files.read(segmentFile(folder, segment))
    const scanned = scanSegment(bytes)
    damagedBytes += scanned.damagedBytes
    segments.add(segment)
    segments.grow(segment, bytes.length)
    for (const { type, sequence, key, value, valueAt, length } of scanned.records) {
      lastSequence = Math.max(lastSequence, sequence)
      // Two records with one number are copies of one another: cleaning was cut short.
      if (sequence < (latest.get(key)?.sequence ?? 0)) continue
      // Without the value itself, which would keep the bytes of all segments in memory.
      const place = { sequence, segment, valueAt, valueBytes: value.length, bytes: length }
      latest.set(key, { isThere: type === 'put', ...place })
    }
  }
  const there = [...latest].filter(([, { isThere }]) => isThere)
  there.sort(([, one], [, other]) => one.sequence - other.sequence)
  for (const [key, { isThere: _, ...place }] of there) segments.put(key, place)
  return { segments, lastSegment: numbers.at(-1) ?? 0, lastSequence, damagedBytes }
}
