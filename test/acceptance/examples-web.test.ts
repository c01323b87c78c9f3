// examples/web: from a button in a browser over HTTP and MQTT to the pages of all browsers, and what may go wrong there.
import test, { type ExecutionContext } from 'ava'
import { serve } from 'mqttasgi'
import { startBroker } from 'mqttasgi/broker'
import { EventEmitter, once } from 'node:events'
import { app } from '../../examples/web/app.ts'
import { startWeb, type WebServer } from '../../examples/web/web.ts'
import { silentLog } from '../../lib/core/log.ts'
import { startChromium } from '../helpers/chromium.ts'
import { recordedUrl } from '../helpers/recording.ts'
import { serverTest } from '../helpers/server-test.ts'
import { startScript } from './script.ts'

const inChromium = serverTest('chromium')

interface Stage {
  readonly web: WebServer
  readonly stopMqtt: () => Promise<unknown>
  /** The channels that are in the group of the pages now. */
  readonly members: ReadonlySet<string>
  /** Resolves when the next one has left. */
  readonly left: () => Promise<unknown>
}

/** The example, in this process. */
async function start(t: ExecutionContext): Promise<Stage> {
  const broker = await startBroker({ port: 0 })
  t.teardown(() => broker.close())
  const server = await serve(app, {
    broker: { url: await recordedUrl(t, broker.url) },
    log: silentLog,
    deadLetter: { store: 'none' },
  })
  t.teardown(() => server.stop())
  const layer = server.channels
  const members = new Set<string>()
  const leaving = new EventEmitter()
  const channels: Parameters<typeof startWeb>[0]['channels'] = {
    newChannel: (prefix) => layer.newChannel(prefix),
    receive: (channel, signal) => layer.receive(channel, signal),
    groupAdd: async (group, channel) => {
      await layer.groupAdd(group, channel)
      members.add(channel)
    },
    groupDiscard: async (group, channel) => {
      await layer.groupDiscard(group, channel)
      members.delete(channel)
      leaving.emit('left')
    },
  }
  const web = await startWeb({ publish: server.publish.bind(server), channels }, 0)
  t.teardown(() => web[Symbol.asyncDispose]())
  return { web, members, stopMqtt: () => server.stop(), left: () => once(leaving, 'left') }
}

function post(web: WebServer, path: string, body: unknown): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return fetch(`${web.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
}

inChromium('a button in one page switches the lamp, and both pages say so', async (t) => {
  const script = startScript(t, ['examples/web/main.ts', '0'])
  const [, url = ''] = /(http:\S+),/.exec(await script.line(/^Lamps on/)) ?? []
  const chromium = await startChromium()
  t.teardown(() => chromium.stop())
  const pages = await Promise.all([chromium.open(url), chromium.open(url)])
  for (const page of pages) await page.shows('connected')
  await pages[0].click('button[data-state=on]')
  for (const page of pages) await page.shows('hall is on')
  await pages[1].click('button[data-state=off]')
  for (const page of pages) await page.shows('hall is off')
  // Who comes later is told what is.
  const late = await chromium.open(url)
  await late.shows('hall is off')
  // The pages are still open: that keeps nobody from ending.
  script.signal('SIGTERM')
  t.is(await script.ended, 0, script.lines.join('\n'))
})

/** Reads server-sent events until one is of this lamp; then the browser goes away. */
async function eventOf(response: Response, lamp: string): Promise<unknown> {
  let text = ''
  for await (const bytes of response.body ?? []) {
    text += Buffer.from(bytes).toString()
    const parts = text.split('\n\n')
    text = parts.pop() ?? ''
    const events = parts.map((part) => JSON.parse(part.replace(/^data: /, '')) as { lamp: string })
    const found = events.find((event) => event.lamp === lamp)
    if (found !== undefined) return found
  }
  return undefined
}

test.serial('every connection has a channel of its own, and gives it back', async (t) => {
  const { web, members, left } = await start(t)
  const streams = await Promise.all([1, 2, 3].map(() => fetch(`${web.url}/events`)))
  t.is(members.size, 3)
  t.is((await post(web, '/lamps/porch', { state: 'on' })).status, 202)
  for (const [index, stream] of streams.slice(0, 2).entries()) {
    const gone = left()
    t.deepEqual(await eventOf(stream, 'porch'), { type: 'lamp.changed', lamp: 'porch', state: 'on' })
    await gone
    t.is(members.size, 2 - index)
  }
  // The third one stays, until the web server closes.
  await web[Symbol.asyncDispose]()
  t.is(members.size, 0)
})

test.serial('what is no lamp or no state is refused, and publishes nothing', async (t) => {
  const { web } = await start(t)
  for (const [path, body] of [
    ['/lamps/%2B', { state: 'on' }],
    ['/lamps/a%2Fb', { state: 'on' }],
    ['/lamps/hall', { state: 'blue' }],
    ['/lamps/hall', null],
  ] as const) {
    t.is((await post(web, path, body)).status, 400, path)
  }
})

test.serial('while MQTT is not there the button says so', async (t) => {
  const { web, stopMqtt } = await start(t)
  await stopMqtt()
  const response = await post(web, '/lamps/hall', { state: 'on' })
  t.is(response.status, 503)
  t.deepEqual(await response.json(), { error: 'the broker did not take it (ERR_STOPPED)' })
})
