// One start of the application for mqttasgi dev, in a process of its own, so that a restart leaves nothing behind.
import { once } from 'node:events'
import type { Server } from '../server/server.ts'
import { type Command, type CommandContext, type Configured, configure } from './command.ts'
import { type FilesReport, isStart, isStop, type StartOrder } from './dev-messages.ts'
import { exitCodeOf, exitCodes } from './exit-codes.ts'
import { leftInHand, type Prepared, prepareServer, runningLine } from './run.ts'

// Killed, dev could not say that it is over, and leaves its broker and its terminal to others.
const orphanDrainMs = 2_000

/** Started by `dev` only: takes its orders from there, and ends when nobody is there any more. */
export const devServer: Command = async (context) => {
  const [order]: unknown[] = process.connected ? await once(process, 'message') : []
  if (!isStart(order)) {
    context.terminal.fail(new Error('dev-server is a part of mqttasgi dev: run that'))
    return exitCodes.usage
  }
  // Ctrl-C reaches this process as well; what follows from it is for `dev` to say.
  context.signals.dispose()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {})
  let server: Server | undefined
  const stop = (drainTimeoutMs: number | undefined): void => {
    if (server === undefined) process.exit(exitCodes.clean)
    void server.stop(drainTimeoutMs === undefined ? {} : { drainTimeoutMs })
  }
  process.on('message', (message: unknown) => isStop(message) && stop(message.drainTimeoutMs))
  process.once('disconnect', () => {
    // Nobody reads any more, and that must not end a handler early.
    for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
    stop(orphanDrainMs)
  })
  const prepared = await prepare(context, order)
  server = prepared.server
  return serve(context, prepared)
}

async function prepare(context: CommandContext, { application, flags }: StartOrder): Promise<Prepared> {
  let configured: Configured | undefined
  try {
    configured = await configure({ ...context, invocation: { ...context.invocation, application, flags } })
    // That a clean session forgets is no news to somebody who restarts it every minute.
    return await prepareServer(context, { ...configured, settings: { ...configured.settings, notices: [] } })
  } finally {
    const report: FilesReport = { type: 'files', files: configured?.loader.files() ?? [] }
    process.send?.(report)
  }
}

async function serve(
  { terminal }: CommandContext,
  { server, settings, application }: Prepared,
): Promise<number> {
  server.start().then(
    () => terminal.say(runningLine(settings, application)),
    // `closed` says it too.
    () => {},
  )
  const { error, stop } = await server.closed
  if (error !== undefined) {
    terminal.fail(error)
    return exitCodeOf(error)
  }
  if (stop.clean) return exitCodes.clean
  terminal.say(`stopped: ${leftInHand(stop.unsettled)}`)
  return exitCodes.drainLimit
}
