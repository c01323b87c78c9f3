// What a thread can have no copy of: the first such value in something, and where it stands.
import { typeInWords } from './value.ts'

/** In words; undefined when all of it can be copied. `path`: what the whole is called. */
export function uncopyable(value: unknown, path: string): string | undefined {
  return firstIn(value, path, new Set())
}

// What has been met already may contain itself.
function firstIn(value: unknown, path: string, met: Set<unknown>): string | undefined {
  if (met.has(value) || isCopied(value)) return undefined
  met.add(value)
  const isHolder = typeof value === 'object' && value !== null
  for (const [key, one] of isHolder ? Object.entries(value) : []) {
    const found = firstIn(one, path + step(key), met)
    if (found !== undefined) return found
  }
  return `${inWords(value)} as ${path}`
}

function isCopied(value: unknown): boolean {
  try {
    structuredClone(value)
    return true
  } catch {
    return false
  }
}

function step(key: string): string {
  if (/^\d+$/.test(key)) return `[${key}]`
  return /^[\w$]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
}

function inWords(value: unknown): string {
  const kind = Object.prototype.toString.call(value).slice('[object '.length, -1)
  return typeof value === 'object' ? `${typeInWords(value)} (${kind})` : typeInWords(value)
}
