// The content of a websocket is found whatever the pieces it comes in, and nothing else is taken for it.
import test from 'ava'
import { WebSocketContent } from './websocket-content.ts'

const head = Buffer.from('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n')

/** A frame of RFC 6455, 5.2, with the shortest length that fits. */
function frame(opcode: number, content: Buffer, mask?: Buffer): Buffer {
  const { length } = content
  const marked = mask === undefined ? 0 : 0x80
  const long = Buffer.alloc(8)
  long.writeBigUInt64BE(BigInt(length))
  const size =
    length < 126
      ? [marked | length]
      : length < 65_536
        ? [marked | 126, ...long.subarray(6)]
        : [marked | 127, ...long]
  const hidden = mask === undefined ? content : content.map((byte, i) => byte ^ (mask[i % 4] ?? 0))
  return Buffer.concat([Buffer.from([opcode, ...size]), mask ?? Buffer.alloc(0), hidden])
}

/** What is found when the bytes come in pieces of this size. */
function found(bytes: Buffer, size: number): string {
  const content = new WebSocketContent()
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) pieces.push(...content.of(bytes.subarray(at, at + size)))
  return Buffer.concat(pieces).toString()
}

for (const mask of [undefined, Buffer.from([1, 2, 3, 4])]) {
  test(`whatever the pieces, pings and the halves of a message between (${mask === undefined ? 'plain' : 'masked'})`, (t) => {
    const texts = ['', 'short', 'm'.repeat(125), 'n'.repeat(126), 'l'.repeat(70_000)]
    const messages = texts.map((text) => frame(0x82, Buffer.from(text), mask))
    const halves = [frame(0x02, Buffer.from('one'), mask), frame(0x80, Buffer.from('two'), mask)]
    const [begun, ended] = halves as [Buffer, Buffer]
    const ping = frame(0x89, Buffer.from('ping'), mask)
    const close = frame(0x88, Buffer.from('bye'), mask)
    const bytes = Buffer.concat([head, ...messages, begun, ping, ended, close])
    for (const size of [1, 7, 1_000, bytes.length]) t.is(found(bytes, size), `${texts.join('')}onetwo`)
  })
}

test('what has not opened has no content', (t) => {
  t.is(found(Buffer.from('HTTP/1.1 400 Bad Request\r\n'), 5), '')
})
