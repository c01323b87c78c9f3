// Takes the parameters of a pattern out of a topic that matches it, by the places of its levels.

/** One named wildcard: which level it stands at, and whether it takes all levels from there. */
export interface Capture {
  readonly name: string
  readonly level: number
  readonly rest: boolean
}

/** The parameters as they are built; see `TopicParams` for what the compiler makes of them. */
export type RawParams = Record<string, string | string[]>

/** A list of captures that is ready to run. */
export interface CaptureSpec {
  readonly names: readonly string[]
  /** The parameters of a topic that is known to match. */
  extract(topic: string): RawParams
}

/** Inherits nothing, and is made faster than by Object.create(null). */
class Params {
  [name: string]: string | string[]
}
Reflect.deleteProperty(Params.prototype, 'constructor')
Object.freeze(Object.setPrototypeOf(Params.prototype, null))

class Captures implements CaptureSpec {
  readonly names: readonly string[]
  readonly #captures: readonly Capture[]

  constructor(captures: readonly Capture[]) {
    this.#captures = captures
    this.names = Object.freeze(captures.map((capture) => capture.name))
  }

  extract(topic: string): RawParams {
    const params = new Params()
    let level = 0
    let start = 0
    for (const capture of this.#captures) {
      // -1 + 1 begins again at 0, so the end of the topic is looked for by itself.
      for (; level < capture.level && start <= topic.length; level++) start = levelEnd(topic, start) + 1
      if (capture.rest) params[capture.name] = start > topic.length ? [] : topic.slice(start).split('/')
      else params[capture.name] = topic.slice(start, levelEnd(topic, start))
    }
    return params
  }
}

function levelEnd(topic: string, start: number): number {
  const slash = topic.indexOf('/', start)
  return slash < 0 ? topic.length : slash
}

const MOST_SPECS = 1_000
const specs = new Map<string, CaptureSpec>()

/**
 * The spec for these captures. Patterns with the same names at the same levels share one: with one object a
 * pattern, thousands of patterns would miss the processor's cache at each message.
 */
export function captureSpec(captures: readonly Capture[]): CaptureSpec {
  const key = JSON.stringify(captures)
  const known = specs.get(key)
  if (known !== undefined) return known
  // Sharing is only for speed: what was shared so far stays so, and memory stays bounded.
  if (specs.size >= MOST_SPECS) specs.clear()
  const spec = new Captures(captures)
  specs.set(key, spec)
  return spec
}
