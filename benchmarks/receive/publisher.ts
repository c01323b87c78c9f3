// A publisher in a process of its own: as many messages as asked for, some hundred under way at a time.
import { connectAsync } from 'mqtt'

/** What the parent asks for. */
export interface Publish {
  readonly count: number
  readonly qos: 0 | 1
}

const UNDER_WAY = 500
const TOPICS = 100
const payload = Buffer.alloc(20, '{"celsius": 21.5}   ')
const client = await connectAsync(process.argv[2] ?? '', { protocolVersion: 5, clean: true })
process.send?.('ready')

process.on('message', ({ count, qos }: Publish) => {
  let next = 0
  let answered = 0
  const publishOne = (): void => {
    if (next === count) return
    client.publish(`sensors/room-${next++ % TOPICS}/temp`, payload, { qos }, () => {
      if (++answered === count) process.send?.('published')
      else setImmediate(publishOne)
    })
  }
  for (let i = 0; i < UNDER_WAY; i++) publishOne()
})
process.once('disconnect', () => process.exit(0))
