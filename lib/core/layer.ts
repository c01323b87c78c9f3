// A layer: one handler at its place in the flattened tree of routers, with the pattern it matches.
import type { Step } from './compose.ts'
import type { Context, ErrorHandler, Handler } from './context.ts'
import type { ResolvedDelivery } from './delivery-options.ts'
import type { Pattern } from './pattern.ts'
import type { ResolvedRouteOptions } from './route.ts'

/** A router as its layers know it: whose errors it observes, and under which prefix it stands here. */
export interface Owner {
  readonly errorHandlers: readonly ErrorHandler[]
}

/** What a layer was registered with. */
export interface LayerInit {
  readonly handler: Handler
  /** The pattern whose names become `ctx.params`; undefined for middleware without one. */
  readonly pattern: Pattern | undefined
  /** What the topic tree looks for; undefined matches every topic. */
  readonly filter: string | undefined
  /** Set on a route's handlers, undefined on middleware. */
  readonly route: ResolvedRouteOptions | undefined
  /** How the messages of the route are run; undefined on middleware. */
  readonly delivery: ResolvedDelivery | undefined
  /** The routers around it, innermost first; the application is the last. */
  readonly owners: readonly Owner[]
}

// Instances of one class, so that the chain meets one shape only.
export class Layer implements Step<Context> {
  readonly handler: Handler
  readonly pattern: Pattern | undefined
  readonly filter: string | undefined
  readonly route: ResolvedRouteOptions | undefined
  readonly delivery: ResolvedDelivery | undefined
  readonly owners: readonly Owner[]

  constructor(init: LayerInit) {
    this.handler = init.handler
    this.pattern = init.pattern
    this.filter = init.filter
    this.route = init.route
    this.delivery = init.delivery
    this.owners = init.owners
  }

  /** The handler's own name, for people. */
  get name(): string {
    return this.handler.name === '' ? '(anonymous)' : this.handler.name
  }
}
