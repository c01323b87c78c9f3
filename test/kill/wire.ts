// What goes over the wire while consumers are killed: the rules of acknowledging, and nothing acknowledged that was not handled.
import { checkWire, type WireRules } from '../helpers/wire-check.ts'
import { startWireProxy, type WireLog, type WireProxy } from '../helpers/wire-log.ts'

export class KillWire {
  readonly url: string
  readonly #proxy: WireProxy
  readonly #early = new Set<string>()

  private constructor(proxy: WireProxy) {
    this.#proxy = proxy
    this.url = proxy.url
  }

  static async before(port: number): Promise<KillWire> {
    return new KillWire(await startWireProxy(port))
  }

  /** What a consumer said reaches us after its end: resolves when all of it is here. */
  async quiet(): Promise<void> {
    const { log } = this.#proxy
    await log.until(() => this.#proxy.open === 0)
  }

  /** Called while no consumer lives. `settled` are the payloads of what has been handled or kept so far. */
  compare(settled: ReadonlySet<string>): void {
    for (const payload of acknowledged(this.#proxy.log)) {
      if (!settled.has(payload)) this.#early.add(payload)
    }
  }

  /** A sentence for each rule that was broken. */
  violations(rules: WireRules): string[] {
    const broken = checkWire(this.#proxy.log, rules)
    return [
      ...broken.map(({ connection, message, type }) => `${type} on connection ${connection}: ${message}`),
      ...[...this.#early].map((payload) => `"${payload}" was acknowledged, and neither handled nor kept`),
    ]
  }

  close(): Promise<void> {
    return this.#proxy.close()
  }
}

/** The payloads for which a PUBACK or a PUBREC went up. */
export function acknowledged({ events }: WireLog): Set<string> {
  const came = new Map<string, string>()
  const answered = new Set<string>()
  for (const event of events) {
    if (event.type !== 'packet') continue
    const { connection, direction, packet } = event
    const id = `${connection} ${packet.messageId}`
    if (packet.cmd === 'publish' && direction === 'down') came.set(id, packet.payload.toString())
    const payload = came.get(id)
    const isAnswer = direction === 'up' && (packet.cmd === 'puback' || packet.cmd === 'pubrec')
    if (isAnswer && payload !== undefined) answered.add(payload)
  }
  return answered
}
