// The topics of a channel layer over MQTT: those of a process, of the groups, and of the channels that all know.
import { processOf } from '../core/channel-name.ts'

/** What a topic is for. */
export type TopicUse =
  | { readonly type: 'channel' | 'named' | 'receivers' | 'group'; readonly name: string }
  | { readonly type: 'control' }
  | { readonly type: 'flush' }

const CONTROL = 'control'
// No name of a channel begins with it.
const GIVEN = '!'

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
    const client = processOf(name)
    if (client === undefined) return `${this.#prefix}/channels/${name}`
    return `${this.#prefix}/processes/${client}/${name}`
  }

  /** What all subscribe to that receive from a channel of no process: the broker gives each event to one of them. */
  shared(channel: string): string {
    return `$share/${this.#prefix}/${this.channel(channel)}`
  }

  /** Where those who receive from a channel of no process speak of it. */
  receivers(channel: string): string {
    return `${this.#prefix}/receivers/${channel}`
  }

  /** Where a process is given an event of a channel of no process. */
  given(client: string, channel: string): string {
    return `${this.#prefix}/processes/${client}/${GIVEN}${channel}`
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
      named('named', this.#own + GIVEN, topic) ??
      named('channel', this.#own, topic) ??
      named('receivers', `${this.#prefix}/receivers/`, topic) ??
      named('group', `${this.#prefix}/groups/`, topic) ??
      named('named', `${this.#prefix}/channels/`, topic)
    )
  }
}

function named(
  type: 'channel' | 'named' | 'receivers' | 'group',
  begin: string,
  topic: string,
): TopicUse | undefined {
  const name = topic.slice(begin.length)
  return topic.startsWith(begin) && name !== '' && !name.includes('/') ? { type, name } : undefined
}

/** Filters of all topics that layers with this prefix publish to. */
export function topicsBelow(prefix: string): readonly string[] {
  return ['flush', 'groups/+', 'channels/+', 'receivers/+', 'processes/+/+'].map(
    (topic) => `${prefix}/${topic}`,
  )
}
