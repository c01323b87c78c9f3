// What the doctor has found: one line each, with what it means for whoever runs the application.

/**
 * One thing that was looked at. `fault`: `run` would fail, or lose messages; `note`: to be known; `ok`: as it
 * should be.
 */
export interface Finding {
  readonly level: 'ok' | 'note' | 'fault'
  /** What was looked at. */
  readonly name: string
  /** What was found. */
  readonly value: string
  /** What it means here. */
  readonly meaning: string
}

export function ok(name: string, value: string, meaning: string): Finding {
  return { level: 'ok', name, value, meaning }
}

export function note(name: string, value: string, meaning: string): Finding {
  return { level: 'note', name, value, meaning }
}

export function fault(name: string, value: string, meaning: string): Finding {
  return { level: 'fault', name, value, meaning }
}

const signs = { ok: 'ok   ', note: 'note ', fault: 'FAULT' } as const

/** One line each, the names below one another. */
export function findingLines(findings: readonly Finding[]): string[] {
  const width = Math.max(0, ...findings.map(({ name }) => name.length))
  return findings.map(
    ({ level, meaning, name, value }) => `${signs[level]}  ${name.padEnd(width)}  ${value}: ${meaning}`,
  )
}
