// A group of a channel layer as server-sent events: each connection of a browser has a channel of its own.
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { ChannelEvent, ChannelLayer } from 'mqttasgi'

// Long before the group forgets a member (a day). The browser comes again by itself, and is told what is new.
const AN_HOUR_MS = 3_600_000
const SLOW_MS = 10_000

export interface EventStreamOptions {
  readonly layer: Pick<ChannelLayer, 'newChannel' | 'groupAdd' | 'groupDiscard' | 'receive'>
  readonly group: string
  /** What a browser is to know first. */
  readonly first: () => Iterable<ChannelEvent>
  /** Aborts when the web server closes. */
  readonly closing: AbortSignal
}

/** Writes the events of the group until the browser goes away. */
export async function streamEvents(response: ServerResponse, options: EventStreamOptions): Promise<void> {
  const { layer, group, first, closing } = options
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const end = AbortSignal.any([gone.signal, closing, AbortSignal.timeout(AN_HOUR_MS)])
  const channel = await layer.newChannel('browser')
  try {
    // Before it is told what is, or what changes in between would be missed.
    await layer.groupAdd(group, channel)
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    response.flushHeaders()
    for (const event of first()) await write(response, event, end)
    for (;;) await write(response, await layer.receive(channel, end), end)
  } catch (error) {
    if (!end.aborted) throw error
  } finally {
    await layer.groupDiscard(group, channel)
  }
  response.end()
}

async function write(response: ServerResponse, event: ChannelEvent, end: AbortSignal): Promise<void> {
  if (response.write(`data: ${JSON.stringify(event)}\n\n`)) return
  // Whoever does not read any more is let go, before its channel is full.
  const timer = setTimeout(() => response.destroy(), SLOW_MS)
  try {
    await once(response, 'drain', { signal: end })
  } finally {
    clearTimeout(timer)
  }
}
