// Runs many seeds one after the other, up to the first that fails.
import { Simulation } from './simulation.ts'
import { addTally, emptyTally, type Tally } from './tally.ts'

export interface SeedsRequest {
  readonly first: number
  readonly seeds: number
  /** Called after each seed. */
  readonly each?: (seed: number) => void
}

export interface SeedsResult {
  readonly tally: Tally
  /** What went wrong, and the command that does it again. */
  readonly failure: string | undefined
}

export async function simulateSeeds({ each, first, seeds }: SeedsRequest): Promise<SeedsResult> {
  const tally = emptyTally()
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      addTally(tally, await new Simulation(seed).run())
    } catch (error) {
      const what = error instanceof Error ? (error.stack ?? error.message) : String(error)
      return { tally, failure: `npm run simulate -- --seed ${seed} --trace\n${what}` }
    }
    each?.(seed)
  }
  return { tally, failure: undefined }
}
