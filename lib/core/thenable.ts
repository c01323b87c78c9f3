// What can be waited for without being a promise, as the builders of queries are: it runs when somebody waits.

export function isThenable<T>(value: unknown): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
