// A receiver whose messages get as many attempts as a test allows, instead of as many as its routes say.
import type { Plan, Receiver } from '../core/receiver.ts'

export function withAttempts<P extends Plan>(receiver: Receiver<P>, attempts: number): Receiver<P> {
  return {
    id: receiver.id,
    interests: () => receiver.interests(),
    onInterests: (listener) => receiver.onInterests(listener),
    plan: (message) => {
      const plan = receiver.plan(message)
      return {
        ...plan,
        failurePolicy: (route, qos) => {
          const policy = plan.failurePolicy(route, qos)
          return {
            ...policy,
            retry: { ...policy.retry, attempts: Math.min(policy.retry.attempts, attempts) },
          }
        },
      }
    },
    receive: (message, plan, attempt) => receiver.receive(message, plan, attempt),
    connected: (client, session) => receiver.connected(client, session),
    disconnected: (reason) => receiver.disconnected(reason),
  }
}
