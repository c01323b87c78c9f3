// A worker in a real thread, without a server: messages are handed to it, and what it asks for is kept.
import type { ExecutionContext } from 'ava'
import { Deferred } from '../../lib/core/deferred.ts'
import type { ReceiverIdentity } from '../../lib/core/hosted.ts'
import type { LogFields, Logger } from '../../lib/core/log.ts'
import { systemClock } from '../../lib/system-clock.ts'
import type { Incarnation } from '../../lib/workers/host.ts'
import { ThreadHost, type ThreadParts } from '../../lib/workers/thread.ts'
import { recordingClient, session } from './worker-place.ts'

const programs = new URL('../workers/programs/', import.meta.url)

export interface ThreadStage {
  readonly thread: Incarnation
  readonly client: ReturnType<typeof recordingClient>
  readonly lines: (readonly [level: string, message: string, fields: LogFields])[]
  /** Resolves when so many things were asked of the client. */
  readonly asked: (count: number) => Promise<void>
}

export function threadHost(
  more: Partial<Omit<ThreadParts, 'identity'>> & { readonly identity?: Partial<ReceiverIdentity> } = {},
  log?: Logger,
): ThreadHost {
  const { identity, ...parts } = more
  const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
  return new ThreadHost({
    identity: {
      id: 'threaded',
      mount: '',
      scope: { type: 'mqtt', appId: 'threaded', instanceType: 'worker', params: { unit: 'C' } },
      log: log ?? silent,
      clock: systemClock,
      ...identity,
    },
    application: `${new URL('applications.ts', programs).pathname}#app`,
    memoryMb: undefined,
    entry: new URL('thread.ts', programs),
    ...parts,
  })
}

/** Started, told of a connection, and gone with the test. */
export async function threadStage(
  t: ExecutionContext,
  more: Parameters<typeof threadHost>[0] = {},
): Promise<ThreadStage> {
  const lines: ThreadStage['lines'] = []
  const at =
    (level: string): Logger['debug'] =>
    (message, fields = {}) =>
      void lines.push([level, message, fields])
  const log: Logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  const thread = await threadHost(more, log).start()
  t.teardown(() => thread.close())
  const client = recordingClient()
  const waiting: { count: number; reached: Deferred }[] = []
  const { asked: list } = client
  const push = list.push.bind(list)
  list.push = (...items) => {
    const length = push(...items)
    for (const { count, reached } of waiting) if (length >= count) reached.resolve()
    return length
  }
  await thread.receiver.connected(client, session)
  const asked = async (count: number): Promise<void> => {
    if (list.length >= count) return
    const reached = new Deferred()
    waiting.push({ count, reached })
    await reached.promise
  }
  return { thread, client, lines, asked }
}
