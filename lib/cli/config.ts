// mqttasgi config: each option, its value and where it came from.
import { describeSettings } from '../config/describe.ts'
import { type Command, configure } from './command.ts'
import { exitCodes } from './exit-codes.ts'

/** Prints the settings; connects to nothing, and loads no application. */
export const config: Command = async (context) => {
  const { settings } = await configure(context)
  const rows = describeSettings(settings)
  const pathWidth = Math.max(...rows.map(({ path }) => path.length))
  const valueWidth = Math.min(40, Math.max(...rows.map(({ value }) => value.length)))
  for (const { path, value, source } of rows) {
    context.terminal.print(`${path.padEnd(pathWidth)}  ${(value || '-').padEnd(valueWidth)}  ${source}`)
  }
  const log = context.terminal.log(settings.verbosity)
  for (const warning of settings.warnings) log.warn(warning)
  return exitCodes.clean
}
