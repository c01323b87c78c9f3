// The topics of a channel layer over MQTT: those of a process, of the groups, and of the channels that all know.
import { ownerOf } from '../core/channel-name.ts'

/** What a topic is for. */
export type TopicUse =
  | { readonly type: 'channel' | 'named' | 'group'; readonly name: string }
  | { readonly type: 'control' }
  | { readonly type: 'flush' }

const CONTROL = 'control'

export class MqttTopics {
  readonly #prefix: string
  readonly #own: string

  /** `client` is this process. */
  constructor(prefix: string, client: string) {
    this.#prefix = prefix
    this.#own = `${prefix}/processes/${client}/`
  }

  /** What this process hears whatever it does: the events of its channels, and what others ask it for. */
  get own(): string {
    return `${this.#own}+`
  }

  get flush(): string {
    return `${this.#prefix}/flush`
  }

  group(name: string): string {
    return `${this.#prefix}/groups/${name}`
  }

  /** Where an event of this channel goes. */
  channel(name: string): string {
    const owner = ownerOf(name)
    if (owner === undefined) return `${this.#prefix}/channels/${name}`
    return `${this.#prefix}/processes/${processOf(owner)}/${name}`
  }

  /** What all subscribe to that receive from a channel of no process: the broker gives each event to one of them. */
  shared(channel: string): string {
    return `$share/${this.#prefix}/${this.channel(channel)}`
  }

  /** Where a process is asked for something. */
  control(client: string): string {
    return `${this.#prefix}/processes/${client}/${CONTROL}`
  }

  /** Undefined for a topic of others. */
  read(topic: string): TopicUse | undefined {
    if (topic === this.flush) return { type: 'flush' }
    if (topic === this.#own + CONTROL) return { type: 'control' }
    return (
      named('channel', this.#own, topic) ??
      named('group', `${this.#prefix}/groups/`, topic) ??
      named('named', `${this.#prefix}/channels/`, topic)
    )
  }
}

/** The process that alone receives from a channel with this owner. */
export function processOf(owner: string): string {
  return owner.slice(owner.lastIndexOf('.') + 1)
}

function named(type: 'channel' | 'named' | 'group', begin: string, topic: string): TopicUse | undefined {
  const name = topic.slice(begin.length)
  return topic.startsWith(begin) && name !== '' && !name.includes('/') ? { type, name } : undefined
}
