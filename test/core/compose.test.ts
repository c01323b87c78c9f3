import test from 'ava'
import * as fc from 'fast-check'
import { ChainPosition, run, type Ending, type Next, type Step } from '../../lib/core/compose.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'

class Position extends ChainPosition {
  readonly seen: string[] = []
}

type Handler = (ctx: Position, next: Next) => unknown

interface Result {
  readonly failed: boolean
  readonly error: unknown
  readonly at: number
}

const ending: Ending<Position, Result> = {
  done: (ctx) => ({ failed: false, error: undefined, at: ctx.at }),
  failed: (error, ctx) => ({ failed: true, error, at: ctx.failure?.at ?? -1 }),
}

function steps(...handlers: Handler[]): Step<Position>[] {
  return handlers.map((handler) => ({ handler }))
}

function chain(...handlers: Handler[]): { ctx: Position; result: Result | Promise<Result> } {
  const ctx = new Position()
  return { ctx, result: run(steps(...handlers), ctx, ending) }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function codeOf(error: unknown): string | undefined {
  return error instanceof MqttasgiError ? error.code : undefined
}

test('an empty list is done at once', (t) => {
  t.deepEqual(chain().result, { failed: false, error: undefined, at: -1 })
})

test('a list of synchronous steps is done without a promise', (t) => {
  const { ctx, result } = chain(
    (_ctx, next) => next(),
    (_ctx, next) => next(),
    () => 'ignored',
    () => t.fail(),
  )
  t.false(result instanceof Promise)
  t.is(ctx.deepest, 2)
  t.true(ctx.ended)
})

test('what rejects with nothing has failed', async (t) => {
  const nothing = (): Promise<void> => Promise.reject(undefined)
  const noNumber = (): Promise<void> => Promise.reject(Number.NaN)
  const onward: Handler = async (_ctx, next) => await next()
  const unawaited: Handler = (_ctx, next) => {
    void next()
  }
  const forgetful: Handler = async (_ctx, next) => {
    void next()
    await turn()
  }
  for (const handlers of [[nothing], [onward, nothing], [unawaited, nothing], [forgetful, nothing]]) {
    const { result } = chain(...handlers)
    t.deepEqual(await result, { failed: true, error: undefined, at: handlers.length - 1 })
  }
  t.deepEqual(await chain(forgetful, noNumber).result, { failed: true, error: Number.NaN, at: 1 })
})

test('control comes back the way it went, and the position with it', async (t) => {
  const { ctx, result } = chain(
    async (at, next) => {
      at.seen.push(`in ${at.at}`)
      await next()
      at.seen.push(`out ${at.at}`)
    },
    async (at, next) => {
      await turn()
      at.seen.push(`in ${at.at}`)
      await next()
      at.seen.push(`out ${at.at}`)
    },
    async (at) => {
      await turn()
      at.seen.push(`end ${at.at}`)
    },
  )
  t.like(await result, { failed: false, at: 0 })
  t.deepEqual(ctx.seen, ['in 0', 'in 1', 'end 2', 'out 1', 'out 0'])
})

test('a step that does not call next ends the chain', (t) => {
  const { ctx } = chain(
    () => {},
    () => t.fail(),
  )
  t.is(ctx.deepest, 0)
})

test('what a step throws or rejects with fails the chain, and names the step', async (t) => {
  const error = new Error('no')
  const thrower: Handler = () => {
    throw error
  }
  const rejecter: Handler = async () => {
    await turn()
    throw error
  }
  for (const last of [thrower, rejecter]) {
    for (const through of [
      (_: Position, next: Next) => next(),
      async (_: Position, next: Next) => await next(),
    ]) {
      t.deepEqual(await chain(through, through, last).result, { failed: true, error, at: 2 })
    }
  }
})

test('an error that is replaced on its way up is of the step that replaced it', async (t) => {
  const second = new Error('second')
  const { result } = chain(
    (_ctx, next) => next(),
    async (_ctx, next) => {
      await next().catch(() => {})
      throw second
    },
    () => {
      throw new Error('first')
    },
  )
  t.deepEqual(await result, { failed: true, error: second, at: 1 })
})

test('an error that is caught is none', async (t) => {
  const { result } = chain(
    async (_ctx, next) => {
      await t.throwsAsync(next())
    },
    () => {
      throw new Error('caught')
    },
  )
  t.like(await result, { failed: false })
})

test('a second next throws, while the chain runs and at the same step only', async (t) => {
  const twice: Handler = async (_ctx, next) => {
    await next()
    await next()
  }
  const { ctx, result } = chain(twice, (at) => void at.seen.push('ran'))
  t.is(codeOf((await result).error), 'ERR_NEXT_CALLED_TWICE')
  t.deepEqual(ctx.seen, ['ran'])
})

test('a next after the end rejects, runs nothing, and ends no process when nobody looks', async (t) => {
  let kept: Next | undefined
  const { result } = chain(
    (_ctx, next) => {
      kept = next
    },
    () => t.fail(),
  )
  t.like(await result, { failed: false })
  void kept?.()
  t.is(codeOf(await t.throwsAsync(async () => kept?.())), 'ERR_NEXT_TOO_LATE')
})

const unawaited: readonly (readonly [string, Handler])[] = [
  [
    'throws at once',
    () => {
      throw new Error('below')
    },
  ],
  ['rejects at once', () => Promise.reject(new Error('below'))],
  [
    'rejects later',
    async () => {
      await turn()
      throw new Error('below')
    },
  ],
]

for (const [what, failing] of unawaited) {
  test(`what is behind a next that a synchronous step ignores ${what}: the chain fails`, async (t) => {
    const { result } = chain((_ctx, next) => void next(), failing)
    t.like(await result, { failed: true, at: 1, error: { message: 'below' } })
  })
}

test('the chain ends after all that was started, though nobody awaited it', async (t) => {
  const { ctx, result } = chain(
    async (_ctx, next) => {
      void next()
      await Promise.resolve()
    },
    async (at, next) => {
      await turn()
      void next()
      at.seen.push('second')
    },
    async (at) => {
      await turn()
      at.seen.push('third')
    },
  )
  t.like(await result, { failed: false })
  t.deepEqual(ctx.seen, ['second', 'third'])
  t.true(ctx.ended)
})

test('what fails behind a next that nobody awaited fails the chain', async (t) => {
  const { result } = chain(
    async (_ctx, next) => {
      void next()
    },
    async () => {
      await turn()
      throw new Error('late')
    },
  )
  t.like(await result, { failed: true, error: { message: 'late' } })
})

test('what fails behind a next that nobody awaited fails the chain, also while its caller still runs', async (t) => {
  const forgetful: Handler = async (_ctx, next) => {
    void next()
    await turn()
    await turn()
  }
  const failing: Handler = async () => {
    throw new Error('at once')
  }
  t.like(await chain(forgetful, failing).result, { failed: true, at: 1, error: { message: 'at once' } })
  const settled = async (look: (behind: Promise<void>) => unknown): Promise<boolean> => {
    const looking: Handler = async (_ctx, next) => {
      await look(next())
      await turn()
    }
    return (await chain(looking, failing).result).failed
  }
  t.false(await settled((behind) => behind.catch(() => {})))
  t.false(await settled((behind) => Promise.allSettled([behind])))
  t.true(await settled((behind) => Promise.all([behind, Promise.resolve()])))
  t.true(await settled((behind) => behind.finally(() => {})))
  t.true(await settled((behind) => void behind))
})

test('a step that calls next later than the ones around it is told apart from them', async (t) => {
  const wait: Handler = async (_ctx, next) => {
    await next()
    await turn()
    await turn()
    await turn()
  }
  const failing: Handler = async () => {
    await turn()
    throw new Error('behind')
  }
  // Its next() is called when nobody has to wait for it any more.
  const later: Handler = (_ctx, next) => void setImmediate(() => void next())
  t.like(await chain(wait, later, failing).result, { failed: true, at: 2 })
  const forgets: Handler = async (_ctx, next) => void next()
  t.like(await chain(wait, forgets, failing).result, { failed: true, at: 2 })
  const catches: Handler = async (_ctx, next) => void next().catch(() => {})
  const ignores: Handler = async (_ctx, next) => {
    void next()
    for (let i = 0; i < 4; i++) await turn()
  }
  t.like(await chain(ignores, catches, failing).result, { failed: false })
})

test('what next gives says the same to all who look, before and after it has settled', async (t) => {
  const error = new Error('below')
  const said: string[] = []
  const say = (what: string) => (): void => void said.push(what)
  const looks = async (behind: Promise<void>): Promise<void> => {
    const passed = [behind.then(null, null), behind.then(undefined), behind.finally(say('finally'))]
    const both = behind.then(say('done'), say('failed'))
    await Promise.allSettled([...passed, both])
    await behind.then(say('done later'), say('failed later'))
    said.push(...(await Promise.allSettled([...passed, behind])).map(({ status }) => status))
  }
  const looking: Handler = async (_ctx, next) => await looks(next())
  t.like(await chain(looking, () => turn()).result, { failed: false })
  const settledWell = ['done', 'finally', 'done later', ...Array.from({ length: 4 }, () => 'fulfilled')]
  t.deepEqual(said.splice(0).toSorted(), settledWell.toSorted())
  t.like(await chain(looking, () => turn().then(() => Promise.reject(error))).result, { failed: false })
  const settledBadly = ['failed', 'finally', 'failed later', ...Array.from({ length: 4 }, () => 'rejected')]
  t.deepEqual(said.toSorted(), settledBadly.toSorted())
})

test('what next gives passes on what is behind it, and what the first who looks makes of it', async (t) => {
  const made: unknown[] = []
  const looking: Handler = async (_ctx, next) => {
    const behind: Promise<unknown> = next()
    made.push(...(await Promise.all([behind.then((value) => [value]), behind])))
  }
  t.like(await chain(looking, () => turn().then(() => 'value')).result, { failed: false })
  t.deepEqual(made, [['value'], 'value'])
})

test('whoever looks at what was passed on to it has the position back', async (t) => {
  const positions: number[] = []
  const note = ({ at }: Position): void => void positions.push(at)
  const looking: Handler = async (ctx, next) => {
    await next().then(() => note(ctx))
    note(ctx)
  }
  const through: Handler = (_ctx, next) => next()
  const waits: Handler = async () => await turn()
  t.like(await chain(looking, through, through, waits).result, { failed: false })
  t.deepEqual(positions, [0, 0])
})

test('whoever looks at what it passes on has its own position, and the one in front of it too', async (t) => {
  const positions: number[] = []
  const waits: Handler = async () => await turn()
  const looking: Handler = async (ctx, next) => {
    await next()
    positions.push(ctx.at)
  }
  const passing: Handler = (ctx, next) => {
    const behind = next()
    void behind.then(() => positions.push(ctx.at))
    return behind
  }
  t.like(await chain(looking, passing, passing, waits).result, { failed: false })
  t.deepEqual(positions, [2, 1, 0])
})

test('what next gives of another chain is waited for like any promise', async (t) => {
  let shared: Promise<void> = Promise.resolve()
  const shares: Handler = async (_ctx, next) => await (shared = next())
  const onward: Handler = async (_ctx, next) => await next()
  const first = chain(shares, () => turn())
  const second = chain(onward, () => shared)
  t.deepEqual(await second.result, { failed: false, error: undefined, at: 0 })
  t.deepEqual(await first.result, { failed: false, error: undefined, at: 0 })
  t.deepEqual(await chain(onward, () => shared).result, { failed: false, error: undefined, at: 0 })
})

test('a step that is late can give what next has given before, though that has settled', async (t) => {
  let given: Promise<void> = Promise.resolve()
  const waits: Handler = async (_ctx, next) => {
    await (given = next())
    await turn()
    await turn()
  }
  const later = async (next: Next): Promise<void> => {
    await turn()
    await next()
  }
  const forgets: Handler = async (_ctx, next) => void later(next)
  t.like(await chain(waits, forgets, () => given).result, { failed: false, at: 0 })
})

test('a promise that a handler keeps for itself is left as it is', async (t) => {
  const kept = Promise.resolve()
  const own: Handler = () => kept
  t.like(await chain(async (_ctx, next) => next(), own).result, { failed: false })
  t.is(Object.getPrototypeOf(kept), Promise.prototype)
})

test('a chain that has failed ends after all that was started, and keeps its first error', async (t) => {
  const first = new Error('first')
  const { ctx, result } = chain(
    (_ctx, next) => next(),
    async (_ctx, next) => {
      void next()
      throw first
    },
    async (at) => {
      await turn()
      at.seen.push('done')
      throw new Error('later')
    },
  )
  const { error, failed } = await result
  t.true(failed)
  t.is(error, first)
  t.deepEqual(ctx.seen, ['done'])
})

test('a promise that is none of JavaScript is awaited once', async (t) => {
  let asked = 0
  const query = {
    // oxlint-disable-next-line unicorn/no-thenable -- query builders are such, and run at each then()
    then(resolve: () => void) {
      asked++
      setImmediate(resolve)
    },
  }
  const { result } = chain(
    async (_ctx, next) => {
      await next()
    },
    () => query,
  )
  t.like(await result, { failed: false })
  t.is(asked, 1)
  t.like(await chain(() => query).result, { failed: false })
  t.is(asked, 2)
})

test('what is thrown as no error is one when it was thrown at once', async (t) => {
  const { result } = chain(() => {
    // oxlint-disable-next-line no-throw-literal, typescript/only-throw-error -- users do it
    throw 'text'
  })
  t.like(await result, { failed: true, error: { message: 'text' } })
})

type Behaviour =
  | 'sync'
  | 'async'
  | 'late'
  | 'look later'
  | 'ignore'
  | 'forget'
  | 'stop'
  | 'throw'
  | 'reject'
  | 'promise'
  | 'catch'

const behaviours: Record<Behaviour, (t: { ran: number[] }, index: number) => Handler> = {
  sync: (t, i) => (_ctx, next) => {
    t.ran.push(i)
    return next()
  },
  async: (t, i) => async (_ctx, next) => {
    t.ran.push(i)
    await next()
  },
  late: (t, i) => async (_ctx, next) => {
    t.ran.push(i)
    await turn()
    await next()
    await turn()
  },
  'look later': (t, i) => async (_ctx, next) => {
    t.ran.push(i)
    const behind = next()
    await turn()
    await behind
  },
  forget: (t, i) => async (_ctx, next) => {
    t.ran.push(i)
    void next()
    for (let turns = 0; turns < 4; turns++) await turn()
  },
  promise: (t, i) => () => {
    t.ran.push(i)
    return turn().then(() => Promise.reject(new Error(`${i}`)))
  },
  ignore: (t, i) => (_ctx, next) => {
    t.ran.push(i)
    void next()
  },
  stop: (t, i) => () => void t.ran.push(i),
  throw: (t, i) => () => {
    t.ran.push(i)
    throw new Error(`${i}`)
  },
  reject: (t, i) => async () => {
    t.ran.push(i)
    await turn()
    throw new Error(`${i}`)
  },
  catch: (t, i) => async (_ctx, next) => {
    t.ran.push(i)
    try {
      await next()
    } catch {
      // Meant to be forgotten.
    }
  },
}

const ENDS: ReadonlySet<Behaviour> = new Set(['stop', 'throw', 'reject', 'promise'])

// What a reader of the routes expects: the steps up to the first that stops or fails, once each, in order.
function expected(list: readonly Behaviour[]): { ran: number; fails: number | undefined } {
  const end = list.findIndex((one) => ENDS.has(one))
  const ran = end === -1 ? list.length : end + 1
  const entered = list.slice(0, ran)
  // Nothing gets to the one that catches past one that does not look.
  const caught = entered.lastIndexOf('catch') > entered.lastIndexOf('forget')
  return { ran, fails: end === -1 || list[end] === 'stop' || caught ? undefined : end }
}

test('any list of steps runs each at most once, in order, and ends as its first ending step does', async (t) => {
  const names = fc.constantFrom(...(Object.keys(behaviours) as Behaviour[]))
  await fc.assert(
    fc.asyncProperty(fc.array(names, { maxLength: 6 }), async (list) => {
      const log: { ran: number[] } = { ran: [] }
      const result = await chain(...list.map((name, i) => behaviours[name](log, i))).result
      const { fails, ran } = expected(list)
      t.deepEqual(
        log.ran,
        Array.from({ length: ran }, (_, i) => i),
      )
      t.is(result.failed, fails !== undefined)
      if (fails !== undefined) t.is(result.at, fails)
    }),
    { numRuns: 500, examples: [[['forget', 'late', 'forget', 'async', 'promise']]] },
  )
})
