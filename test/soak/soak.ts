// What a soak is: something that runs for long or needs the machine's help, prints figures, and says what was wrong.
import { readdir, readFile } from 'node:fs/promises'
import { sentences, type WireWatch } from '../helpers/wire-watch.ts'

export interface SoakOptions {
  /** Of those that run for a time. */
  readonly minutes: number
  readonly reconnects: number
  /** Messages that wait when the slow consumer starts. */
  readonly backlog: number
}

export type Figures = Readonly<Record<string, number | string>>

export interface SoakResult {
  readonly figures: Figures
  /** A sentence for each thing that should not be so. */
  readonly faults: readonly string[]
}

export interface Soak {
  readonly name: string
  readonly about: string
  /** Why it can not run on this machine; undefined when it can. */
  readonly lacks: () => string | undefined
  readonly run: (options: SoakOptions) => Promise<SoakResult>
}

/** The sentences whose condition does not hold. */
export function faults(expected: Readonly<Record<string, boolean>>): string[] {
  return Object.entries(expected).flatMap(([sentence, isSo]) => (isSo ? [] : [`not so: ${sentence}`]))
}

/** A sentence for each rule that was broken on the wire. */
export function wireFaults({ violations }: WireWatch): string[] {
  return sentences(violations).map((sentence) => `on the wire: ${sentence}`)
}

export const mebibyte = 1_048_576

/** Resident memory of a process, in bytes; its open descriptors. */
export async function resources(
  pid: number,
): Promise<{ readonly rss: number; readonly descriptors: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1])
  return { rss: kilobytes * 1_024, descriptors: (await readdir(`/proc/${pid}/fd`)).length }
}

export function inMebibytes(bytes: number): number {
  return Math.round((bytes / mebibyte) * 10) / 10
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
