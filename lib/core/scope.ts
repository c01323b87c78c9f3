// Who this instance is: the scope a context carries, as in the original ASGI server.

/** Values that a configuration gives to an application or a worker. */
export type ScopeParams = Readonly<Record<string, unknown>>

/** Identity of the receiver that handles a message. Its own keys can not be overridden by `params`. */
export interface Scope {
  readonly type: 'mqtt'
  /** 0 for the application, the worker's id otherwise. */
  readonly appId: string | number
  readonly instanceType: 'master' | 'worker'
  readonly params: ScopeParams
}

/** The application's own scope, when nothing else was said. */
export const masterScope: Scope = Object.freeze({
  type: 'mqtt',
  appId: 0,
  instanceType: 'master',
  params: Object.freeze({}),
})
