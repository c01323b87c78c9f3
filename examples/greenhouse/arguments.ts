// What may stand behind `npm start --`.
import { parseArgs } from 'node:util'

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000 }

/** How long to run, in milliseconds; undefined for ever. Throws one line that says what is wrong. */
export function readDuration(args: string[]): number | undefined {
  const text = readFor(args)
  if (text === undefined) return undefined
  const [, count, unit = ''] = /^(\d+)(ms|s|m)$/.exec(text) ?? []
  const ms = Number(count) * (units[unit] ?? 0)
  if (ms > 0 && ms < 2 ** 31) return ms
  throw new Error(`--for expects a time such as 10s or 2m, and got "${text}".`)
}

function readFor(args: string[]): string | undefined {
  try {
    return parseArgs({ args, options: { for: { type: 'string' } } }).values.for
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error)
    throw new Error(`${what}. Expected nothing, or: npm start -- --for 10s`, { cause: error })
  }
}
