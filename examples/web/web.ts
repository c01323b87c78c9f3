// The web server, with Express: a page, a route that publishes, and a route that tells what happens.
import { once } from 'node:events'
import type { Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import express, { type Express } from 'express'
import { MqttasgiError, type ChannelEvent, type Server } from 'mqttasgi'
import { lamps } from './app.ts'
import { streamEvents, type EventStreamOptions } from './event-stream.ts'

export interface WebServer extends AsyncDisposable {
  readonly url: string
}

/** What it needs of the server. */
type MqttSide = Pick<Server, 'publish'> & { readonly channels: EventStreamOptions['layer'] }

/** Listens on this port of this machine only; 0 for a free one. */
export async function startWeb(server: MqttSide, port: number): Promise<WebServer> {
  const closing = new AbortController()
  const http = routes(server, closing.signal).listen(port, '127.0.0.1')
  await once(http, 'listening')
  const { port: taken } = http.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${taken}`,
    [Symbol.asyncDispose]: async () => {
      closing.abort()
      await close(http)
    },
  }
}

function routes(server: MqttSide, closing: AbortSignal): Express {
  const web = express()
  web.get('/', (_request, response) => response.sendFile(join(import.meta.dirname, 'page.html')))

  web.post('/lamps/:lamp', express.json({ limit: '1kb' }), async (request, response) => {
    const { lamp } = request.params
    const { state } = (request.body ?? {}) as { readonly state?: unknown }
    // What comes from strangers goes into a topic: no further level, no wildcard.
    if (!/^[\w-]{1,64}$/.test(lamp) || (state !== 'on' && state !== 'off')) {
      return response
        .status(400)
        .json({ error: 'expected /lamps/NAME and {"state":"on"} or {"state":"off"}' })
    }
    try {
      await server.publish(`lamps/${lamp}/set`, state)
      return response.status(202).end()
    } catch (error) {
      const { code } = error instanceof MqttasgiError ? error : { code: 'unknown' }
      return response.status(503).json({ error: `the broker did not take it (${code})` })
    }
  })

  web.get('/events', async (_request, response) => {
    await streamEvents(response, { layer: server.channels, group: 'lamps', first: known, closing })
  })
  return web
}

function* known(): Iterable<ChannelEvent> {
  for (const [lamp, state] of lamps) yield { type: 'lamp.changed', lamp, state }
}

/** What is being answered has a second. Browsers also keep connections that they do not use. */
async function close(http: HttpServer): Promise<void> {
  const gone = once(http, 'close')
  http.close()
  const timer = setTimeout(() => http.closeAllConnections(), 1_000)
  await gone
  clearTimeout(timer)
}
