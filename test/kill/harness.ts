// Kills a consumer again and again while messages come, and counts what became of them.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { JournalDeadLetters } from '../../lib/durable/journal-dead-letters.ts'
import { kinds, windowOf, type BrokerName } from '../brokers/kinds.ts'
import { startPublisher, type Publisher } from '../helpers/publisher.ts'
import type { VictimOptions } from './victim.ts'
import { Victim } from './victims.ts'
import { KillWire } from './wire.ts'

export interface KillOptions {
  readonly broker: BrokerName
  /** How often a consumer is killed. */
  readonly cycles: number
  readonly messages: number
  readonly protocolVersion: 4 | 5
  /** A handler takes a random time up to this. */
  readonly handlerMs: number
  readonly maxInFlight: number
  /** Of publications and of the route; 1 unless told otherwise. */
  readonly qos?: 1 | 2 | undefined
  /** What the consumer makes of QoS 2; downgrade unless told otherwise. */
  readonly qos2?: 'downgrade' | 'durable' | undefined
}

/** What became of the messages: Jepsen's six numbers. */
export interface Account {
  readonly attempted: number
  /** The broker said that it has them. */
  readonly acknowledged: number
  /** Acknowledged, and never handled. */
  readonly lost: number
  /** Runs of the handler beyond the first for a message. */
  readonly duplicated: number
  /** Handled, and never published. */
  readonly unexpected: number
  /** Handled, though the broker never acknowledged the publication. */
  readonly recovered: number
  /** Not handled, and kept among the dead letters: neither lost nor forgotten. */
  readonly deadLettered: number
}

export interface KillReport extends Account {
  readonly kills: number
  readonly seconds: number
  /** A window for each kill: so many can have been handled and not acknowledged, where the broker keeps the window. */
  readonly bound: number
  /** A sentence for each rule that was broken on the wire, or in the eyes of the strict broker. */
  readonly violations: readonly string[]
}

// Without a word from the consumer for so long, what is missing counts as lost.
const PATIENCE_MS = 10_000
// mosquitto forgets publications of QoS 2 above 20 that are not complete.
const EXCHANGES = 10

/** Runs on a broker of its own, whose queue has no limit. */
export async function killHarness(options: KillOptions): Promise<KillReport> {
  const folder = await mkdtemp(join(tmpdir(), 'mqttasgi-kill-'))
  const file = join(folder, 'handled')
  await writeFile(file, '')
  const kind = kinds[options.broker]
  const broker = await kind.start({ ackWait: '1s' })
  const wire = await KillWire.before(broker.port)
  const { protocolVersion, handlerMs, maxInFlight, qos = 1, qos2 = 'downgrade' } = options
  const publisher = await startPublisher(broker.url, { protocolVersion, ...broker.login })
  const run = new Run(options, publisher, wire, {
    url: wire.url,
    ...broker.login,
    clientId: 'victim',
    folder,
    file,
    protocolVersion,
    handlerMs,
    maxInFlight,
    qos,
    qos2,
  })
  try {
    const report = await run.report()
    const seen = broker.violations.map(({ message, type }) => `${type}: ${message}`)
    return { ...report, violations: [...wire.violations(windowOf(kind, protocolVersion)), ...seen] }
  } finally {
    await run.end()
    await publisher.close()
    await wire.close()
    await broker.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

class Run {
  readonly #options: KillOptions
  readonly #publisher: Publisher
  readonly #wire: KillWire
  readonly #victim: VictimOptions
  readonly #alive = new Set<Victim>()
  readonly #attempted = new Set<string>()
  readonly #acknowledged = new Set<string>()
  /** What the victims say. What they wrote down is what counts in the end. */
  readonly #said = new Set<string>()
  readonly #published: Promise<void>[] = []
  /** The latest publication of QoS 2 in each. */
  readonly #lanes: Promise<void>[] = []

  constructor(options: KillOptions, publisher: Publisher, wire: KillWire, victim: VictimOptions) {
    this.#options = options
    this.#publisher = publisher
    this.#wire = wire
    this.#victim = victim
  }

  async report(): Promise<Omit<KillReport, 'violations'>> {
    const { cycles, messages } = this.#options
    const begun = performance.now()
    let victim = this.#launch()
    // The session begins here: what is published from now on the broker keeps.
    await victim.serve()
    for (let cycle = 0; cycle < cycles; cycle++) {
      const next = this.#launch()
      this.#publish(Math.ceil(messages / (cycles + 1)))
      const point = this.#said.size + (messages / (cycles + 1)) * (0.25 + Math.random() / 2)
      await this.#patient(victim.until(() => this.#said.size >= point))
      await victim.kill()
      this.#alive.delete(victim)
      await this.#compare()
      await next.serve()
      victim = next
    }
    this.#publish(messages)
    await Promise.all(this.#published)
    await this.#patient(victim.until(() => this.#said.size >= messages))
    await victim.stop()
    await this.#compare()
    return this.#report((performance.now() - begun) / 1000)
  }

  async end(): Promise<void> {
    await Promise.all([...this.#alive].map((victim) => victim.kill()))
  }

  #launch(): Victim {
    const victim = new Victim(this.#victim, (number) => this.#said.add(number))
    this.#alive.add(victim)
    return victim
  }

  /** So many more, as long as there are any. */
  #publish(count: number): void {
    const from = this.#attempted.size
    for (let i = from; i < Math.min(from + count, this.#options.messages); i++) {
      const number = String(i)
      this.#attempted.add(number)
      this.#published.push(this.#send(i).then(() => void this.#acknowledged.add(number)))
    }
  }

  async #send(number: number): Promise<void> {
    const { qos = 1 } = this.#options
    const publish = (): Promise<void> => this.#publisher.publish(`kill/${number}`, String(number), { qos })
    if (qos === 1) return publish()
    const lane = number % EXCHANGES
    const sent = (this.#lanes[lane] ?? Promise.resolve()).then(publish)
    this.#lanes[lane] = sent
    return sent
  }

  /** Nobody lives: what was acknowledged must have been handled or kept. */
  async #compare(): Promise<void> {
    await this.#wire.quiet()
    this.#wire.compare(new Set([...(await this.#runs()), ...(await deadLettersIn(this.#victim.folder))]))
  }

  async #runs(): Promise<string[]> {
    return (await readFile(this.#victim.file, 'utf8')).split('\n').filter((line) => line !== '')
  }

  /** Ends without complaint when no message has been handled for a while: the report tells. */
  async #patient(done: Promise<void>): Promise<void> {
    let before = -1
    let timer: NodeJS.Timeout | undefined
    const silence = new Promise<void>((resolve) => {
      timer = setInterval(() => {
        if (this.#said.size === before) resolve()
        before = this.#said.size
      }, PATIENCE_MS)
    })
    await Promise.race([done, silence])
    clearInterval(timer)
  }

  async #report(seconds: number): Promise<Omit<KillReport, 'violations'>> {
    const deadLetters = await deadLettersIn(this.#victim.folder)
    const runs = await this.#runs()
    const { cycles, maxInFlight } = this.#options
    return {
      ...account({ attempted: this.#attempted, acknowledged: this.#acknowledged, runs, deadLetters }),
      kills: cycles,
      bound: cycles * maxInFlight,
      seconds: Math.round(seconds * 10) / 10,
    }
  }
}

/** What is known in the end: each number that was published, was acknowledged, and once for each run was handled. */
export interface Evidence {
  readonly attempted: ReadonlySet<string>
  readonly acknowledged: ReadonlySet<string>
  readonly runs: readonly string[]
  readonly deadLetters: ReadonlySet<string>
}

/** The numbers of the messages that the victims have put away instead of handling them. */
async function deadLettersIn(folder: string): Promise<Set<string>> {
  const journal = new JournalDeadLetters({
    folder: join(folder, '.mqttasgi', 'dead-letters'),
    maxMessages: 1,
    maxBytes: 1_000_000,
  })
  const numbers = new Set<string>()
  for await (const { payload } of journal.letters()) numbers.add(payload.toString())
  await journal.close()
  return numbers
}

export function account({ attempted, acknowledged, runs, deadLetters }: Evidence): Account {
  const handled = new Set(runs)
  const count = (of: Iterable<string>, isSo: (number: string) => boolean): number =>
    [...of].filter(isSo).length
  return {
    attempted: attempted.size,
    acknowledged: acknowledged.size,
    lost: count(acknowledged, (number) => !handled.has(number) && !deadLetters.has(number)),
    duplicated: runs.length - handled.size,
    unexpected: count(handled, (number) => !attempted.has(number)),
    recovered: count(handled, (number) => attempted.has(number) && !acknowledged.has(number)),
    deadLettered: count(deadLetters, (number) => !handled.has(number)),
  }
}
