// What next() gives to a layer: a promise that knows whether anybody has looked at what becomes of it.

const LOOKED_AT = Symbol('looked at')

interface HandedOut extends Promise<void> {
  [LOOKED_AT]?: boolean
}

let isOurLook = false

// `await`, then(), catch(), finally() and Promise.all() all ask a promise for its constructor first (PromiseResolve and
// SpeciesConstructor of ECMA-262), and nothing else does. A subclass would be asked as well, but awaited two turns later.
const observed: object = Object.create(Promise.prototype, {
  constructor: {
    get(this: HandedOut) {
      if (!isOurLook) this[LOOKED_AT] = true
      return Promise
    },
  },
}) as object

// What an async function returns is nobody else's.
const AsyncFunction = (async () => {}).constructor as FunctionConstructor

/** Hears of the promise that `handler` has returned without looking at it, and gives what its caller is to have. */
export function handOut(
  returned: Promise<void>,
  handler: unknown,
  settled: () => void,
  failed: (error: unknown) => void,
): Promise<void> {
  // A layer that returns what next() has given it passes on the question whether it is looked at.
  const isPassedOn = isObserved(returned)
  const own = isPassedOn || handler instanceof AsyncFunction ? returned : copyOf(returned)
  void hear(own, settled, failed)
  return isPassedOn ? own : (Object.setPrototypeOf(own, observed) as Promise<void>)
}

/** Reacts to a promise that may be one of these, without looking at it. */
export function hear<T>(
  promise: Promise<void>,
  settled: () => T,
  failed: (error: unknown) => T,
): Promise<Awaited<T>> {
  if (!isObserved(promise)) return promise.then(settled, failed) as Promise<Awaited<T>>
  isOurLook = true
  try {
    return promise.then(settled, failed) as Promise<Awaited<T>>
  } finally {
    isOurLook = false
  }
}

export function isLookedAt(promise: Promise<void>): boolean {
  return (promise as HandedOut)[LOOKED_AT] === true
}

function isObserved(promise: Promise<void>): boolean {
  return Object.getPrototypeOf(promise) === observed
}

// Its prototype may be changed then: that of somebody's own promise may not.
function copyOf(promise: Promise<void>): Promise<void> {
  return new Promise((resolve) => resolve(promise))
}
