// The chain: runs a list of steps, each wrapped around the ones behind it, once each.
import { MqttasgiError, toError } from './errors.ts'
import { HandedOut, unseen, type Watcher } from './handed-out.ts'
import { isThenable } from './thenable.ts'

/**
 * Goes on to the next matching layer. The promise settles when everything behind has.
 *
 * Throws `ERR_NEXT_CALLED_TWICE` at a second call, rejects with `ERR_NEXT_TOO_LATE` after the chain has ended.
 */
export type Next = () => Promise<void>

/** One step of a chain: what `compose` needs to know of it. */
export interface Step<C> {
  readonly handler: (ctx: C, next: Next) => unknown
}

/** A step that failed, and what the step in front of it was given of it. */
interface Rejection {
  readonly handed: HandedOut
  readonly error: unknown
  readonly at: number
}

/** Where a chain stands. A context extends it, so that one object a message is enough. */
export abstract class ChainPosition implements Watcher {
  /** The step that has control: an index into the list. */
  at = -1
  /** The last step that was entered; steps are entered in order, so it only grows. */
  deepest = -1
  /** Steps that were started and have not settled, counted below each `next()`. */
  pending = 0
  ended = false
  /** The step that failed first, and with what: the innermost one of an error that travels upwards. */
  failure: { readonly error: unknown; readonly at: number } | undefined = undefined
  rejections: Rejection[] | undefined = undefined
  /** Called when `pending` falls to 0 after the outermost step has settled. */
  wake: (() => void) | undefined = undefined

  /** Layers go on. */
  settled(layers: number): void {
    this.pending -= layers
    // The layers that wait are nearly always the outermost ones, and the innermost of them is the first that goes on:
    // how many there are says which it is.
    this.at = this.pending
    if (this.pending === 0) this.wake?.()
  }

  /** Notes where; `pending` does not say it, for a step may call next() when others have gone on. */
  failed(handed: HandedOut, error: unknown, at: number): void {
    noteFailure(this, error, at)
    this.rejections ??= []
    this.rejections.push({ handed, error, at })
  }
}

/**
 * The promise of everything that had nothing to await. It is shared: a caller that is given this very
 * promise knows that the work is done and need not wait a turn.
 */
const DONE: Promise<void> = Promise.resolve()

/** What becomes of a chain that has ended: one of the two is called, once. */
export interface Ending<C, T> {
  readonly done: (ctx: C) => T
  readonly failed: (error: unknown, ctx: C) => T | Promise<T>
}

/**
 * Runs the list and gives what `ending` makes of it: at once when all of it was synchronous, else as a
 * promise. It ends only after every step that was started, awaited by its caller or not: a message is
 * never acknowledged over a step that still runs.
 */
export function run<C extends ChainPosition, T>(
  steps: readonly Step<C>[],
  ctx: C,
  ending: Ending<C, T>,
): T | Promise<T> {
  const outermost = enter(steps, ctx, 0)
  if (outermost === DONE && ctx.pending === 0) return end(ctx, ending)
  // One reaction for the whole way back: each more would cost every message a turn.
  return unseen(outermost).then<T, T>(
    () => (ctx.pending === 0 ? end(ctx, ending) : endLater(ctx, ending)),
    (error: unknown) => fail(error, ctx, ending),
  )
}

function end<C extends ChainPosition, T>(ctx: C, ending: Ending<C, T>): T | Promise<T> {
  // Nobody can have caught what nobody has looked at.
  const lost = ctx.rejections?.find(({ handed }) => !handed.isLookedAt)
  if (lost !== undefined) {
    // Where it came from is further in: there it was noted first.
    const { at, error } = ctx.rejections!.find((one) => Object.is(one.error, lost.error))!
    noteFailure(ctx, error, at)
    return fail(error, ctx, ending)
  }
  ctx.ended = true
  return ending.done(ctx)
}

async function fail<C extends ChainPosition, T>(error: unknown, ctx: C, ending: Ending<C, T>): Promise<T> {
  noteFailure(ctx, error, 0)
  const { failure } = ctx
  if (ctx.pending > 0) await allSettled(ctx)
  ctx.failure = failure
  ctx.ended = true
  return ending.failed(error, ctx)
}

// Something behind a next() that nobody awaited still runs.
async function endLater<C extends ChainPosition, T>(ctx: C, ending: Ending<C, T>): Promise<T> {
  // What fails from here on was awaited by nobody, so nobody can have caught it.
  ctx.failure = undefined
  await allSettled(ctx)
  const { failure } = ctx as ChainPosition
  return failure === undefined ? end(ctx, ending) : fail(failure.error, ctx, ending)
}

function allSettled(ctx: ChainPosition): Promise<void> {
  return new Promise<void>((resolve) => {
    ctx.wake = resolve
  })
}

function enter<C extends ChainPosition>(steps: readonly Step<C>[], ctx: C, index: number): Promise<void> {
  const step = steps[index]
  if (step === undefined) return DONE
  ctx.at = index
  ctx.deepest = index
  let called = false
  let below = DONE
  const next: Next = () => {
    if (ctx.ended) return tooLate()
    if (called) throw calledTwice()
    called = true
    below = enter(steps, ctx, index + 1)
    if (below === DONE) ctx.at = index
    else below = watch(below, ctx, index + 1)
    return below
  }
  try {
    const result = step.handler(ctx, next)
    if (result instanceof Promise || result instanceof HandedOut) return result as Promise<void>
    // A synchronous step that calls next() and returns nothing can not have awaited it: it ends with it.
    return isThenable<void>(result) ? Promise.resolve(result) : below
  } catch (error) {
    return Promise.reject(toError(error))
  }
}

function watch(below: Promise<void>, ctx: ChainPosition, at: number): HandedOut {
  ctx.pending++
  if (!(below instanceof HandedOut)) return new HandedOut(below, ctx, at)
  // A layer that returns what next() has given it passes on the question whether it is looked at.
  return below.passOn(ctx) ? below : new HandedOut(below.below, ctx, at)
}

function noteFailure(ctx: ChainPosition, error: unknown, at: number): void {
  if (ctx.failure === undefined || !Object.is(ctx.failure.error, error)) ctx.failure = { error, at }
}

function calledTwice(): MqttasgiError {
  return new MqttasgiError(
    'ERR_NEXT_CALLED_TWICE',
    'next() was called a second time by the same handler: each layer runs once per message. Call it once and keep its promise.',
  )
}

function tooLate(): Promise<void> {
  const late = Promise.reject(
    new MqttasgiError(
      'ERR_NEXT_TOO_LATE',
      'next() was called after the chain had ended, so nothing behind it will run. Return or await next() in the handler.',
    ),
  )
  late.catch(() => {})
  return late
}
