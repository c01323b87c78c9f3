// The clock of the tests, and how to wait for what needs no time.
export { FakeClock } from '../../lib/testing/fake-clock.ts'

/** Everything that waits for no timer and no other side has happened. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve))
}
