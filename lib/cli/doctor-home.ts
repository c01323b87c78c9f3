// What is looked at on this side of the connection: the state folder, dead letters, the channel layer, and filters of older releases.
import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Settings } from '../config/settings.ts'
import { layerFor } from '../channel-layer.ts'
import { toError } from '../core/errors.ts'
import { silentLog } from '../core/log.ts'
import { openArchive } from '../durable/open-dead-letters.ts'
import { systemClock } from '../system-clock.ts'
import { deadLetterPlan, filterMemoryOf } from '../stores.ts'
import { type Finding, fault, note, ok } from './findings.ts'
import type { PlanReport } from './plan-report.ts'

const PATIENCE_MS = 3_000

/** Whether what must survive the process can be written. Nothing is made. */
export async function folderFinding({ stateDir }: Settings): Promise<Finding> {
  for (let folder = stateDir; ; folder = dirname(folder)) {
    try {
      await access(folder, constants.W_OK | constants.X_OK)
      const value = folder === stateDir ? stateDir : `${stateDir}, not there yet`
      return ok(
        'state folder',
        value,
        'can be written: dead letters, the outbox and filters of the session go there',
      )
    } catch (error) {
      const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
      if (isMissing && dirname(folder) !== folder) continue
      const reason = toError(error).message
      return fault('state folder', stateDir, `can not be written: ${reason}. Give another one as stateDir`)
    }
  }
}

/** Whether the store of dead letters answers. Nothing is kept in it. */
export async function deadLetterFinding(settings: Settings): Promise<Finding> {
  const { store } = settings.deadLetter
  const name = 'dead letters'
  if (store === 'none') return note(name, 'none', 'a message that nobody can handle is acknowledged and gone')
  const archive = openArchive(deadLetterPlan(settings))
  try {
    const letters = archive.letters()[Symbol.asyncIterator]()
    const first = await within(letters.next())
    if (first === undefined)
      return fault(
        name,
        archive.name,
        `no answer within ${PATIENCE_MS / 1_000} s: failed messages would stay unacknowledged`,
      )
    await letters.return?.()
    const meaning =
      first.done === true ? 'answers; there are none' : 'answers; there are some: mqttasgi dlq ls'
    return (first.done === true ? ok : note)(name, archive.name, meaning)
  } catch (error) {
    return fault(name, archive.name, `can not be reached: ${toError(error).message}`)
  } finally {
    await within(archive.close())
  }
}

/** Whether the Redis of the channel layer answers; undefined where the layer needs none. Nothing is changed there. */
export async function channelFinding(settings: Settings): Promise<Finding | undefined> {
  if (settings.channels.layer !== 'redis') return undefined
  const name = 'channel layer'
  const { layer } = layerFor(settings, silentLog)
  try {
    await layer.groupDiscard('mqttasgi.doctor', await layer.newChannel())
    return ok(name, layer.name, 'answers')
  } catch (error) {
    return fault(name, layer.name, `no event can be sent or received: ${toError(error).message}`)
  } finally {
    await layer.close()
  }
}

/** Filters that the session may hold and the application does not want at its start. */
export async function staleFinding(settings: Settings, plan: PlanReport): Promise<Finding | undefined> {
  const memory = filterMemoryOf(settings)
  if (memory === undefined) return undefined
  const name = 'filters of the session'
  try {
    const wanted = new Set(plan.subscriptions.map(({ filter }) => filter))
    const held = (await memory.recall()).filter(({ since }) => since !== 'ended')
    const stale = held.filter(({ filter }) => !wanted.has(filter))
    if (stale.length === 0) return ok(name, 'as wanted', 'no filter of an older release is remembered')
    const names = stale.map(({ filter }) => filter).join(', ')
    const sure = stale.filter(({ since }) => since === 'start').map(({ filter }) => filter)
    const meaning =
      sure.length === stale.length
        ? 'left by an older release; unsubscribed at the next start'
        : `left by an older process; at the next start ${sure.join(', ') || 'none of them'} is unsubscribed, the others came at run time: server.unsubscribe(filter) ends one`
    return note(name, names, meaning)
  } catch (error) {
    return fault(name, memory.path, `can not be read: ${toError(error).message}`)
  }
}

function within<T>(answer: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const cancel = systemClock.after(PATIENCE_MS, () => resolve(undefined))
    answer.then(resolve, reject).finally(cancel)
  })
}
