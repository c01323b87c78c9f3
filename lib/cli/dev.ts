// mqttasgi dev: the application in a process of its own, on an embedded broker, started again on change.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname, resolve } from 'node:path'
import { type EmbeddedBroker, startBroker } from '../broker/index.ts'
import { parseSpec } from '../config/application-file.ts'
import { configFileNames } from '../config/file.ts'
import { flagKey, type Texts } from '../config/levels.ts'
import { optionAt } from '../config/options.ts'
import type { Settings } from '../config/settings.ts'
import { MqttasgiError } from '../core/errors.ts'
import { type Command, type CommandContext, configure } from './command.ts'
import { isFiles, type StartOrder, type StopOrder } from './dev-messages.ts'
import type { StopSignal } from './signals.ts'
import { FileWatch } from './watch.ts'

const usualPort = 1883
// What a restart waits for handlers, and then for the process itself.
const restartDrainMs = 2_000
const patienceMs = 2_000

type Happening =
  | { readonly type: 'changed'; readonly file: string }
  | { readonly type: 'stop'; readonly signal: StopSignal }
  | { readonly type: 'ended'; readonly code: number }

/** Runs until it is stopped; the exit code is that of the application's last run. */
export const dev: Command = async (context) => {
  const session = new DevSession(context)
  try {
    return await session.run()
  } finally {
    await session.close()
  }
}

class DevSession {
  readonly #context: CommandContext
  readonly #watch: FileWatch
  #broker: EmbeddedBroker | undefined
  #saidBroker: string | undefined
  #onChange: (happening: Happening) => void = () => {}

  constructor(context: CommandContext) {
    this.#context = context
    this.#watch = new FileWatch((file) => this.#onChange({ type: 'changed', file }))
    const { cwd, env, invocation } = context
    const named = [invocation.flags['config'], env[optionAt('config')?.env ?? '']].filter(
      (file) => file !== undefined,
    )
    this.#watch.add([...configFileNames, '.env', ...named].map((name) => resolve(cwd, name)))
  }

  async run(): Promise<number> {
    const { terminal, signals } = this.#context
    const stop = signals.first.then((signal): Happening => ({ type: 'stop', signal }))
    for (;;) {
      const change = new Promise<Happening>((resolve) => {
        this.#onChange = resolve
      })
      const run = await this.#begin()
      let happening = await Promise.race([change, stop, ...(run === undefined ? [] : [run.ended])])
      if (happening.type === 'ended') {
        terminal.say(`the application has ended with exit code ${happening.code}; waiting for a change`)
        happening = await Promise.race([change, stop])
      }
      if (happening.type === 'stop') {
        terminal.say(
          `${happening.signal}: stopping, waits for running handlers; a second signal ends at once`,
        )
        return (await run?.stop()) ?? 0
      }
      if (happening.type === 'changed') terminal.say(`${happening.file} has changed: starting again`)
      await run?.stop(restartDrainMs)
    }
  }

  async close(): Promise<void> {
    this.#watch.close()
    await this.#broker?.close()
  }

  // A configuration that is wrong is shown, and its next change awaited.
  async #begin(): Promise<DevRun | undefined> {
    const { terminal, invocation } = this.#context
    let flags: Texts
    try {
      const { settings, loader } = await configure(this.#context)
      this.#watch.add(loader.files())
      if (typeof settings.application === 'string') this.#watchApplication(settings.application)
      if (settings.file !== undefined) this.#watch.add([settings.file])
      flags = await this.#flagsFor(settings)
    } catch (error) {
      // On the way to the embedded broker: no change of a file would mend it.
      if (error instanceof MqttasgiError && !error.code.startsWith('ERR_CONFIG')) throw error
      terminal.fail(error)
      terminal.say('waiting for a change')
      return undefined
    }
    const order: StartOrder = { type: 'start', application: invocation.application, flags }
    return new DevRun(this.#context, order, (files) => this.#watch.add(files))
  }

  #watchApplication(spec: string): void {
    const { file } = parseSpec(spec, this.#context.cwd)
    this.#watch.add([file])
    this.#watch.addTree(dirname(file))
  }

  async #flagsFor(settings: Settings): Promise<Texts> {
    const { flags } = this.#context.invocation
    const verbosity = settings.sources['verbosity'] === 'default' ? { verbosity: '1' } : {}
    if (isBrokerGiven(settings)) {
      this.#sayBroker(settings.broker.address)
      return { ...verbosity, ...flags }
    }
    this.#broker ??= await this.#startBroker()
    const url = optionAt('broker.url')
    return { ...verbosity, ...flags, ...(url === undefined ? {} : { [flagKey(url.flag)]: this.#broker.url }) }
  }

  // The one of its own says so itself, and at a restart it is no news.
  #sayBroker(address: string): void {
    if (this.#saidBroker !== address) this.#context.terminal.say(`the broker is ${address}`)
    this.#saidBroker = address
  }

  async #startBroker(): Promise<EmbeddedBroker> {
    const log = this.#context.terminal.log(1)
    try {
      return await startBroker({ port: usualPort, log })
    } catch (error) {
      if (!(error instanceof MqttasgiError) || error.code !== 'ERR_BROKER_PORT') throw error
      const broker = await startBroker({ port: 0, log })
      log.warn(
        `port ${usualPort} is taken, most likely by another broker: this one takes port ${broker.port}. To work with the other one, add --host localhost.`,
      )
      return broker
    }
  }
}

// Whoever says where the broker is, or how to reach it, has one.
function isBrokerGiven({ sources }: Settings): boolean {
  const places = ['broker.host', 'broker.port', 'broker.socketPath', 'broker.transport', 'broker.tls']
  return places.some((path) => sources[path] !== 'default')
}

/** One run of the application in its process. */
class DevRun {
  readonly ended: Promise<Happening & { readonly type: 'ended' }>
  readonly #child: ChildProcess

  constructor({ bin, cwd }: CommandContext, order: StartOrder, onFiles: (files: readonly string[]) => void) {
    this.#child = spawn(process.execPath, [...process.execArgv, bin, 'dev-server'], {
      cwd,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    this.ended = once(this.#child, 'exit').then(([code]: unknown[]) => ({
      type: 'ended',
      code: typeof code === 'number' ? code : 1,
    }))
    this.#child.on('message', (message: unknown) => {
      if (isFiles(message)) onFiles(message.files)
    })
    this.#child.on('error', () => {})
    this.#child.send(order)
    // At the second signal this process ends at once; a handler that never lets go would outlive it.
    const kill = (): unknown => this.#child.kill('SIGKILL')
    process.once('exit', kill)
    this.#child.once('exit', () => process.off('exit', kill))
  }

  /** Asks it to end, and after a while makes it; the exit code. With no limit given, only asks. */
  async stop(drainTimeoutMs?: number): Promise<number> {
    const order: StopOrder = { type: 'stop', ...(drainTimeoutMs === undefined ? {} : { drainTimeoutMs }) }
    if (this.#child.connected) this.#child.send(order, () => {})
    const force = (): unknown => this.#child.kill('SIGKILL')
    const timer = drainTimeoutMs === undefined ? undefined : setTimeout(force, drainTimeoutMs + patienceMs)
    const { code } = await this.ended
    clearTimeout(timer)
    return code
  }
}
