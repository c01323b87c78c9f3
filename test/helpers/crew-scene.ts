// A crew whose workers are staged, at a place without a server and on a clock that the test moves.
import type { MqttasgiError } from '../../lib/core/errors.ts'
import { silentLog } from '../../lib/core/log.ts'
import type { Plan } from '../../lib/core/receiver.ts'
import type { WorkerOptions } from '../../lib/core/workforce.ts'
import { Crew, type CrewParts } from '../../lib/workers/crew.ts'
import { FakeClock, settled } from './fake-clock.ts'
import { StagedHost, WorkerPlace } from './worker-place.ts'

export class CrewScene {
  readonly clock = new FakeClock()
  readonly place = new WorkerPlace()
  readonly hosts = new Map<string, StagedHost>()
  readonly exits: MqttasgiError[] = []
  readonly crew: Crew
  /** What the loading of an application fails with. */
  fault: Error | undefined = undefined

  readonly parts: CrewParts

  constructor(plan: Partial<Plan> = {}) {
    this.parts = {
      place: Promise.resolve(this.place),
      hostFor: async ({ id }) => {
        if (this.fault !== undefined) throw this.fault
        const host = new StagedHost(plan)
        this.hosts.set(id, host)
        return host
      },
      clock: this.clock,
      random: () => 1,
      log: silentLog,
      exit: (error) => this.exits.push(error),
    }
    this.crew = new Crew(this.parts)
  }

  async spawn(id: string, options?: WorkerOptions): Promise<StagedHost> {
    await this.crew.spawn(id, './app.ts', options)
    return this.hosts.get(id)!
  }

  /** The only receiver that is attached. */
  get receiver(): ReturnType<WorkerPlace['attached']['values']> extends Iterator<infer R> ? R : never {
    return [...this.place.attached][0]!
  }

  /** The instance of a worker fails, and everything that follows at once has happened. */
  async fails(host: StagedHost, error = new Error('broken')): Promise<void> {
    host.last.ending.resolve(error)
    await settled()
  }
}
