// A proxy that writes down what a test's servers say to a broker, and fails the test at its end if that broke a rule.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ExecutionContext } from 'ava'
import type { SettledEvent } from '../../lib/core/trace.ts'
import { checkWire, type WireRules } from './wire-check.ts'
import { keyOf, startWireProxy, type WireProxy } from './wire-log.ts'

/** The ports of the proxies that are up, so that nobody is written down twice. */
const ports = new Set<string>()

/** Stands before the broker on this port for as long as the test runs. */
export async function recording(
  t: ExecutionContext,
  target: number,
  rules: WireRules = { concluded: true },
): Promise<WireProxy> {
  const proxy = await startWireProxy(target)
  const port = String(proxy.port)
  ports.add(port)
  const concluded = (event: unknown): void => {
    const { message } = event as SettledEvent
    proxy.log.concluded(keyOf(message.topic, message.payload))
  }
  subscribe('mqttasgi:settled', concluded)
  t.teardown(async () => {
    await proxy.close()
    ports.delete(port)
    unsubscribe('mqttasgi:settled', concluded)
    const lines = checkWire(proxy.log, rules).map(
      ({ connection, message, type }) => `${type} on connection ${connection}: ${message.slice(0, 200)}`,
    )
    // Of a broken rule the first few lines say enough.
    if (lines.length > 0) throw new Error(`On the wire: ${lines.slice(0, 5).join('; ')}`)
  })
  return proxy
}

/** By the test and the port of the broker: what is kept for an address must find the same address again. */
const recordings = new WeakMap<ExecutionContext, Map<string, Promise<WireProxy>>>()

/** The same place behind a recording; as it is where it is recorded already, or can not be read on its way. */
export async function recordedUrl(t: ExecutionContext, url: string): Promise<string> {
  const { port, protocol } = new URL(url)
  if (protocol !== 'mqtt:' || ports.has(port)) return url
  const known = recordings.get(t) ?? new Map<string, Promise<WireProxy>>()
  recordings.set(t, known)
  const proxy = known.get(port) ?? recording(t, Number(port))
  known.set(port, proxy)
  return (await proxy).url
}
