// The channel layer of the server as a thread has it.
import { zeroChannelCounters, type ChannelEvent, type ChannelLayer } from '../core/channel-layer.ts'
import { MqttasgiError, toError } from '../core/errors.ts'

/** Asks the server's thread for one thing; may be taken back by the signal. */
export type AskForChannels = (
  method: string,
  args: readonly unknown[],
  signal?: AbortSignal,
) => Promise<unknown>

/** Its counters are those of this thread: what it has sent and received, and what found no room. */
export function remoteChannels(groupExpiry: number, ask: AskForChannels): ChannelLayer {
  const counters = zeroChannelCounters()
  const send = async (method: string, to: string, event: ChannelEvent): Promise<void> => {
    try {
      await ask(method, [to, event])
      counters.sent++
    } catch (error) {
      if (error instanceof MqttasgiError && error.code === 'ERR_CHANNEL_FULL') counters.full++
      throw uncrossable(error) ?? error
    }
  }
  return {
    name: "the server's channel layer",
    counters,
    groupExpiry,
    send: (channel, event) => send('send', channel, event),
    groupSend: (group, event) => send('groupSend', group, event),
    receive: async (channel, signal) => {
      const event = (await ask('receive', [channel], signal)) as ChannelEvent
      counters.received++
      return event
    },
    newChannel: async (prefix) => (await ask('newChannel', [prefix])) as string,
    groupAdd: async (group, channel) => void (await ask('groupAdd', [group, channel])),
    groupDiscard: async (group, channel) => void (await ask('groupDiscard', [group, channel])),
    flush: async () => void (await ask('flush', [])),
    // It is closed with the server.
    close: async () => {},
  }
}

// Functions and the like can not cross, and are no plain data either.
function uncrossable(error: unknown): MqttasgiError | undefined {
  if (toError(error).name !== 'DataCloneError') return undefined
  const message = `An event was not sent: it holds something that is no plain data. ${toError(error).message}`
  return new MqttasgiError('ERR_CHANNEL_EVENT', message, { cause: error })
}
