// The simulation as a command: npm run simulate -- --seeds 1000000, or --seed 17 --trace to look at one.
import { parseArgs } from 'node:util'
import { simulateSeeds } from './seeds.ts'
import { Simulation } from './simulation.ts'
import { tallyLine } from './tally.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '10000' },
    first: { type: 'string', default: '0' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
  },
})

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function one(seed: number): Promise<void> {
  const simulation = new Simulation(seed, values.trace ? print : undefined)
  if (values.trace) print(JSON.stringify(simulation.scenario))
  print(tallyLine(await simulation.run()))
}

async function many(first: number, seeds: number): Promise<void> {
  const began = performance.now()
  let current = first
  // What is thrown in a turn of its own is caught by nobody, and must name its seed as well.
  process.on('uncaughtException', (error) => {
    print(`npm run simulate -- --seed ${current} --trace\n${error.stack}`)
    process.exit(1)
  })
  const each = (seed: number): void => {
    current = seed + 1
    if ((seed + 1) % 10_000 === 0) print(`${seed + 1 - first} seeds, ${seconds(began)} s`)
  }
  const { failure, tally } = await simulateSeeds({ first, seeds, each })
  print(tallyLine(tally))
  if (failure === undefined) return print(`${seeds} seeds in ${seconds(began)} s: nothing lost.`)
  print(failure)
  process.exitCode = 1
}

function seconds(began: number): string {
  return ((performance.now() - began) / 1_000).toFixed(1)
}

await (values.seed === undefined
  ? many(Number(values.first), Number(values.seeds))
  : one(Number(values.seed)))
