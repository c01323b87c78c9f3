// A loopback port nobody listens on, for servers that can not be asked for port 0.
import { createServer } from 'node:net'

// Below the range the kernel takes for outgoing connections: a client that reconnects to a port of that
// range while nobody listens there can connect to itself, and then the server can not come back.
const lowest = 20_000
const highest = 32_000

/** Another process may still take it before the caller does: whoever starts a server must be ready to retry. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = lowest + Math.floor(Math.random() * (highest - lowest))
    if (await isFree(port)) return port
  }
  throw new Error(`No free port between ${lowest} and ${highest} on 127.0.0.1 after 100 attempts.`)
}

/** True when a listener on 127.0.0.1 could have this port now. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
