// What both receive benchmarks share: starting a consumer, rounds in turn, medians and a line for each.
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'

/** One round of one contender. */
export interface Measured {
  readonly perSecond: number
  /** CPU time of the receiving process; NaN where it is not known. */
  readonly cpuMicroseconds: number
}

export const ROUNDS = Number(process.env['ROUNDS'] ?? 5)

/** Starts a program of this folder and waits for its first word. */
export async function start(program: string, ...args: readonly string[]): Promise<ChildProcess> {
  const file = fileURLToPath(new URL(program + extname(import.meta.url), import.meta.url))
  const child = fork(file, args, { execArgv: [] })
  await once(child, 'message')
  return child
}

export async function stop(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.disconnect()
  await gone
}

/** Runs every contender once a round, in turn, so that a slow spell of the machine hits all of them. */
export async function inTurn<C extends string>(
  contenders: readonly C[],
  measure: (contender: C) => Promise<Measured>,
): Promise<ReadonlyMap<C, readonly Measured[]>> {
  const results = new Map<C, Measured[]>(contenders.map((contender) => [contender, []]))
  for (let i = 0; i < ROUNDS; i++) {
    for (const contender of contenders) results.get(contender)?.push(await measure(contender))
  }
  return results
}

/** Prints a line for each contender; the first is what the ratios are to. */
export function print(title: string, results: ReadonlyMap<string, readonly Measured[]>): void {
  let base: number | undefined
  for (const [contender, measured] of results) {
    const rates = measured.map(({ perSecond }) => perSecond / 1000)
    const rate = median(rates)
    base ??= rate
    const cpu = median(measured.map(({ cpuMicroseconds }) => cpuMicroseconds))
    const spread = `${Math.min(...rates).toFixed(0)}–${Math.max(...rates).toFixed(0)}`
    console.log(
      `${title}  ${contender.padEnd(24)} ${rate.toFixed(0).padStart(6)} k/s  (${spread})`.padEnd(74),
      `${Number.isNaN(cpu) ? '        ' : `${cpu.toFixed(2)} µs CPU`}  ratio ${(rate / base).toFixed(2)}`,
    )
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
