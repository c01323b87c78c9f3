// The greenhouse, all in one process: a broker, the devices, and the application between them. `npm start` runs it.
import { serve } from 'mqttasgi'
import { startBroker } from 'mqttasgi/broker'
import { app } from './app.ts'
import { readDuration } from './arguments.ts'
import { startDevices } from './devices.ts'
import { screen } from './screen.ts'

const READING_EVERY_MS = 450

async function run(forMs: number | undefined): Promise<void> {
  const log = screen((line) => console.log(line), process.stdout.isTTY && !process.env['NO_COLOR'])
  const broker = await startBroker({ port: 0 })
  const server = await serve(app, {
    broker: { url: broker.url, clientId: 'greenhouse', clean: false },
    // Nothing of this greenhouse is to be found on the disk afterwards.
    deadLetter: { store: 'none' },
    log,
  })
  const devices = await startDevices(broker.url, READING_EVERY_MS)
  log.info(`The greenhouse is open, on ${broker.url}. Ctrl-C closes it.`)

  const why = await end(forMs)
  log.info(`${why}: nothing new is begun, and what runs is finished.`)
  await devices.stop()
  const { clean } = await server.stop()
  await broker.close()

  const { handled, failed, acknowledged } = server.counters
  log.info(`${handled} messages handled, ${failed} failed, ${acknowledged} acknowledged.`)
  process.exitCode = clean ? 0 : 3
}

/** Resolves with the reason to end. Listens once: the next signal ends the process at once. */
function end(forMs: number | undefined): Promise<string> {
  return new Promise((resolve) => {
    const signalled = (signal: string): void => {
      process.off('SIGINT', signalled).off('SIGTERM', signalled)
      resolve(signal === 'SIGINT' ? 'Ctrl-C' : signal)
    }
    process.on('SIGINT', signalled).on('SIGTERM', signalled)
    if (forMs !== undefined) setTimeout(signalled, forMs, 'The time is over')
  })
}

function fail(error: unknown, exitCode: number): never {
  console.error(error instanceof Error ? error.message : error)
  process.exit(exitCode)
}

function duration(): number | undefined {
  try {
    return readDuration(process.argv.slice(2))
  } catch (error) {
    return fail(error, 2)
  }
}

run(duration()).catch((error: unknown) => fail(error, 1))
