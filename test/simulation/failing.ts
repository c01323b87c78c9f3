// How the simulation says that something is not as it should be, also where nobody waits for what throws.

let first: Error | undefined

export function fail(what: string): never {
  first ??= new Error(what)
  throw first
}

/** Throws what has gone wrong since the last call of `forget`. */
export function check(): void {
  if (first !== undefined) throw first
}

export function forget(): void {
  first = undefined
}
