// A middleware: one transaction for each message, over everything behind it.
import type { Context, Handler } from 'mqttasgi'
import type { Database, Transaction } from './database.ts'

/**
 * What the handlers behind it write is there when all of them have succeeded, and not at all when one fails. The
 * message is acknowledged after the commit.
 */
export function transaction(db: Pick<Database, 'transaction'>): Handler {
  return (ctx, next) =>
    db.transaction(async (tx) => {
      ctx.state['tx'] = tx
      await next()
      // An attempt whose time is over has failed, also when its handler went on to the end.
      ctx.signal.throwIfAborted()
    })
}

/** The transaction of this message. */
export function transactionOf(ctx: Context): Transaction {
  return ctx.state['tx'] as Transaction
}
