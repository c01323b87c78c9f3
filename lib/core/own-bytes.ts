// Bytes on their way to another thread: without the buffer they are a view into, which would cross as a whole.

/** The same plain data, in which no bytes are part of a larger buffer. What is no plain data is left as it is. */
export function ownBytes<T>(value: T): T {
  return copied(value, new Map<object, unknown>()) as T
}

// What has been met already may contain itself.
function copied(value: unknown, met: Map<object, unknown>): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array)
    return value.byteLength < value.buffer.byteLength ? new Uint8Array(value) : value
  const known = met.get(value)
  if (known !== undefined) return known
  if (Array.isArray(value)) return copiedList(value, met)
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype ? copiedObject(value, met) : value
}

function copiedList(list: readonly unknown[], met: Map<object, unknown>): unknown {
  const copy: unknown[] = []
  met.set(list, copy)
  for (const one of list) copy.push(copied(one, met))
  return copy
}

function copiedObject(object: object, met: Map<object, unknown>): unknown {
  const copy = {}
  met.set(object, copy)
  for (const [name, one] of Object.entries(object)) {
    // Whatever its name is, it must not reach the prototype.
    Object.defineProperty(copy, name, { value: copied(one, met), enumerable: true, configurable: true })
  }
  return copy
}
