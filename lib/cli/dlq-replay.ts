// Replays dead letters, one after the other: each is removed when it is known to have gone well, and stays otherwise.
import { randomBytes } from 'node:crypto'
import type { DeadLetter, DeadLetterArchive } from '../core/dead-letter.ts'
import { mqttasgi } from '../core/application.ts'
import { MqttasgiError, toError } from '../core/errors.ts'
import type { LogFields, Logger } from '../core/log.ts'
import type { MessageProperties, PublishProperties } from '../core/message.ts'
import type { Settings } from '../config/settings.ts'
import { connectionTo } from '../connection.ts'
import { escapeControls } from '../observe/line-log.ts'
import { createServer } from '../serve.ts'
import type { Server } from '../server/server.ts'
import { applicationOf, type CommandContext, type Configured, replayThread, workerThread } from './command.ts'
import { exitCodes } from './exit-codes.ts'
import { asReplayed } from './replayed.ts'
import { ReplayTransport } from './replay-transport.ts'

/** What is replayed, and where to. */
export interface ReplayOrder {
  readonly archive: DeadLetterArchive
  readonly configured: Configured
  readonly letters: AsyncIterable<DeadLetter>
  /** What is said when there are none. */
  readonly nothing: string
  readonly to: 'broker' | 'application'
}

/** Resolves with why a letter stays; undefined when it has been replayed. */
type Replay = (letter: DeadLetter) => Promise<string | undefined>

const NO_SUBSCRIBERS = 0x10

/** The user property by which a replayed message is known: the id of its dead letter. */
const replayProperty = 'mqttasgi-replay'

/** Resolves with the exit code: 0 when none of the letters stays. */
export async function replay(context: CommandContext, order: ReplayOrder): Promise<number> {
  const { archive, configured, letters, nothing, to } = order
  const { signals, terminal } = context
  const place = to === 'broker' ? new ToBroker(context, order) : new ToApplication(context, order)
  let replayed = 0
  let stayed = 0
  try {
    for await (const letter of letters) {
      if (signals.asked !== undefined) break
      const why =
        letter.cause === 'oversized' ? 'nothing of its payload was kept' : await place.replay(letter)
      if (why === undefined) {
        // Killed between the two, the letter is replayed once more: better twice than never.
        await archive.remove([letter.id])
        replayed++
        terminal.print(`${letter.id}  ${escapeControls(letter.topic)}`)
      } else {
        stayed++
        terminal.say(`${letter.id} stays: ${why}`)
      }
    }
  } catch (error) {
    if (signals.asked === undefined || !isStopped(error)) throw error
  } finally {
    await place.close()
  }
  if (replayed + stayed === 0 && signals.asked === undefined) {
    terminal.say(nothing)
    return exitCodes.clean
  }
  const { address } = configured.settings.broker
  const where = to === 'broker' ? `to the broker at ${address}` : 'in the application'
  const stay = stayed === 0 ? '' : `, ${stayed} stay`
  const { asked } = signals
  terminal.say(`${asked === undefined ? '' : 'interrupted: '}replayed ${replayed} ${where}${stay}`)
  if (asked !== undefined) return exitCodes[asked]
  return stayed === 0 ? exitCodes.clean : exitCodes.fatal
}

/** Publishes letters to their topics, with QoS 1. */
class ToBroker {
  readonly #context: CommandContext
  readonly #order: ReplayOrder
  #server: Promise<Server> | undefined

  constructor(context: CommandContext, order: ReplayOrder) {
    this.#context = context
    this.#order = order
  }

  readonly replay: Replay = async (letter) => {
    const server = await (this.#server ??= this.#connect())
    try {
      // Never retained: it would take the place of whatever has been retained since.
      const { reasonCode } = await server.publish(letter.topic, letter.payload, {
        qos: 1,
        properties: marked(letter),
      })
      return reasonCode === NO_SUBSCRIBERS ? 'nobody subscribes to its topic (reason code 16)' : undefined
    } catch (error) {
      if (server.state === 'closed') throw error
      return toError(error).message
    }
  }

  async close(): Promise<void> {
    const server = await this.#server?.catch(() => undefined)
    await server?.stop()
  }

  async #connect(): Promise<Server> {
    const { loader, settings } = this.#order.configured
    const log = this.#context.terminal.log(settings.verbosity)
    const server = await createServer(mqttasgi(), alone(settings), {
      log,
      loader,
      threadEntry: workerThread,
      secret: secretOf(this.#context),
    })
    await startUnlessAsked(server, this.#context)
    return server
  }
}

interface Stage {
  readonly server: Server
  readonly transport: ReplayTransport
  /** Why the last letter could not be handled again. */
  readonly failure: { message: string | undefined; letter: string | undefined }
}

/** Runs letters in the application, each at the receiver that had failed. */
class ToApplication {
  readonly #context: CommandContext
  readonly #order: ReplayOrder
  readonly #stages = new Map<string, Promise<Stage>>()

  constructor(context: CommandContext, order: ReplayOrder) {
    this.#context = context
    this.#order = order
  }

  readonly replay: Replay = async (letter) => {
    const { receiver } = letter
    const { workers } = this.#order.configured.settings
    if (receiver !== 'application' && !workers.some(({ id }) => id === receiver))
      return `no worker "${receiver}" is declared in the configuration, and none is spawned here; --to broker gives it to one that runs`
    let stage = this.#stages.get(receiver)
    if (stage === undefined) this.#stages.set(receiver, (stage = this.#connect(receiver)))
    return run(await stage, letter)
  }

  async close(): Promise<void> {
    for (const stage of this.#stages.values()) await (await stage.catch(() => undefined))?.server.stop()
  }

  // A server of its own for each receiver: no other one may see the message.
  async #connect(receiver: string): Promise<Stage> {
    const { configured } = this.#order
    const { loader } = configured
    const settings = alone(configured.settings)
    const workers = configured.settings.workers.filter(({ id }) => id === receiver)
    const application = workers.length === 0 ? await applicationOf(configured) : mqttasgi()
    const failure: Stage['failure'] = { message: undefined, letter: undefined }
    const transport = new ReplayTransport(connectionTo(settings, { secret: secretOf(this.#context) }))
    const server = await createServer(
      application,
      { ...settings, workers },
      {
        log: withoutLetter(this.#context.terminal.log(settings.verbosity), failure),
        loader,
        threadEntry: replayThread,
        hostable: asReplayed,
        transport,
        deadLetters: {
          name: 'the dead letters themselves',
          keep: async ({ error, id }) => {
            failure.message = error.message
            failure.letter = id
          },
          close: async () => {},
        },
      },
    )
    await startUnlessAsked(server, this.#context)
    return { server, transport, failure }
  }
}

// A signal ends the attempts to connect, and no letter that is already on its way.
async function startUnlessAsked(server: Server, { signals }: CommandContext): Promise<void> {
  let isUp = false
  void signals.first.then(() => (isUp ? undefined : server.stop()))
  await server.start()
  isUp = true
}

function isStopped(error: unknown): boolean {
  return error instanceof MqttasgiError && error.code === 'ERR_STOPPED'
}

// The server names the letter that it would have made; the one there is stays, and that is said.
function withoutLetter(log: Logger, failure: Stage['failure']): Logger {
  const at =
    (level: keyof Logger) =>
    (message: string, fields?: LogFields): void =>
      log[level](message.replace(`, and its message is a dead letter now, ${failure.letter}`, ''), fields)
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

async function run({ server, transport, failure }: Stage, letter: DeadLetter): Promise<string | undefined> {
  if (transport.isForOthers(letter)) return `no route ${shareInWords(letter)} matches its topic any more`
  const { counters } = server
  const before = counters.handled + counters.dropped
  const unmatched = counters.unmatched
  failure.message = undefined
  const ended = server.closed.then(({ error }) => {
    throw error ?? new MqttasgiError('ERR_STOPPED', 'The server has stopped.')
  })
  await Promise.race([transport.hand({ ...letter, properties: marked(letter) }), ended])
  if (counters.handled + counters.dropped > before) return undefined
  if (counters.unmatched > unmatched) return 'no route matches its topic any more'
  return `it failed again: ${failure.message ?? 'see the log'}`
}

function shareInWords({ share }: DeadLetter): string {
  return typeof share === 'string' ? `of the share group "${share}"` : 'outside of share groups'
}

/** Settings of a connection that takes nothing away from the server that may be running. */
function alone(settings: Settings): Settings {
  const clientId = `mqttasgi-dlq-${randomBytes(4).toString('hex')}`
  const broker = {
    ...settings.broker,
    clientId,
    clean: true,
    sessionExpirySeconds: 0,
    shareProbe: undefined,
    // It would say that the server is gone.
    will: undefined,
  }
  const outbox = { ...settings.outbox, durable: false }
  return { ...settings, broker, outbox, workers: [], warnings: [], notices: [] }
}

function secretOf({ terminal }: CommandContext): (password: string) => void {
  return (password) => terminal.hide(password)
}

function marked({ id, properties }: DeadLetter): MessageProperties & PublishProperties {
  const { subscriptionIdentifiers: _, userProperties, ...rest } = properties
  return { ...rest, userProperties: { ...userProperties, [replayProperty]: [id] } }
}
