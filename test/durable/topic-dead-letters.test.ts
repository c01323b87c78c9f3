// Dead letters on a topic: kept only when the broker says that somebody is there, and never sent in a circle.
import test, { type ExecutionContext } from 'ava'
import { createHash } from 'node:crypto'
import type { DeadLetter, DeadLetterStore } from '../../lib/core/dead-letter.ts'
import { MqttasgiError } from '../../lib/core/errors.ts'
import type { PublishOptions } from '../../lib/core/message.ts'
import { decodeLetter } from '../../lib/durable/letter-bytes.ts'
import { TopicDeadLetters } from '../../lib/durable/topic-dead-letters.ts'
import { storeContract, type StoreSetup } from '../contract/dead-letter-store.ts'
import { fullLetter, letter, properties } from '../helpers/letters.ts'

interface Sent {
  readonly topic: string
  readonly payload: Buffer
  readonly options: PublishOptions
}

/** A broker as the store sees it. */
class Stage {
  readonly sent: Sent[] = []
  readonly spooled: DeadLetter[] = []
  reasonCode = 0
  superseded = false
  version: 4 | 5 | undefined = 5
  maxBytes = 1_000_000
  readonly store: DeadLetterStore

  constructor(unverified = false) {
    const spool: DeadLetterStore = {
      name: 'spool',
      keep: async (one) => void this.spooled.push(one),
      close: async () => {},
    }
    this.store = new TopicDeadLetters({
      topic: 'dead/letters',
      protocolVersion: () => this.version,
      unverified,
      spool,
      publish: async (topic, payload, options) => {
        if (payload.length > this.maxBytes) throw new MqttasgiError('ERR_PUBLISH_TOO_LARGE', 'too large')
        this.sent.push({ topic, payload, options })
        return { reasonCode: this.reasonCode, ...(this.superseded && { superseded: true as const }) }
      },
    })
  }
}

// The letters of a topic are their subscribers': the archive's part of the contract has nothing to look at.
storeContract(test, 'topic', async (): Promise<StoreSetup<DeadLetterStore>> => {
  const stage = new Stage()
  return {
    store: stage.store,
    reopen: async () => stage.store,
    breakDown: async () => void (stage.reasonCode = 0x10),
    mend: async () => void (stage.reasonCode = 0),
  }
})

async function unkept(t: ExecutionContext, stage: Stage): Promise<string> {
  const error = await t.throwsAsync(stage.store.keep(letter()), { instanceOf: MqttasgiError })
  t.is(error.code, 'ERR_DEAD_LETTER_UNKEPT')
  return error.message
}

test('a letter goes whole to the one topic, QoS 1, with an end to its life, its own topic beside it', async (t) => {
  const stage = new Stage()
  const one = fullLetter()
  await stage.store.keep(one)
  const [sent] = stage.sent
  t.is(sent?.topic, 'dead/letters')
  t.deepEqual(decodeLetter(sent?.payload ?? Buffer.alloc(0)), one)
  t.deepEqual(sent?.options, {
    qos: 1,
    properties: {
      messageExpiryInterval: 1_209_600,
      contentType: 'application/vnd.mqttasgi.dead-letter',
      userProperties: {
        'mqttasgi-dead-letter': one.id,
        'mqttasgi-topic': one.topic,
        'mqttasgi-cause': 'crashed',
        'mqttasgi-receiver': 'application',
      },
    },
  })
})

test('a topic that nobody subscribes to keeps nothing (F22)', async (t) => {
  const stage = new Stage()
  stage.reasonCode = 0x10
  t.regex(await unkept(t, stage), /Nobody subscribes to "dead\/letters"/)
})

test('on MQTT 3.1.1 a letter is refused before it is sent, unless told to believe', async (t) => {
  const stage = new Stage()
  stage.version = 4
  t.regex(await unkept(t, stage), /On MQTT 3\.1\.1.*deadLetter\.unverified/)
  t.deepEqual(stage.sent, [])
  const believing = new Stage(true)
  believing.version = 4
  await believing.store.keep(letter())
  t.is(believing.sent.length, 1)
})

test('a letter that left before the first connection, which then was 3.1.1, is not believed', async (t) => {
  const stage = new Stage()
  stage.version = undefined
  const sent = stage.store.keep(letter())
  stage.version = 4
  await t.throwsAsync(sent, { code: 'ERR_DEAD_LETTER_UNKEPT' })
})

test('what is too large for the broker is kept in the journal, and its digest on the topic (F24)', async (t) => {
  const stage = new Stage()
  stage.maxBytes = 1_500
  const one = letter({ payload: Buffer.alloc(2_000, 'x') })
  await stage.store.keep(one)
  t.deepEqual(stage.spooled, [one])
  const [sent] = stage.sent
  t.is(stage.sent.length, 1)
  const head = JSON.parse(sent?.payload.toString() ?? '') as Record<string, unknown>
  t.deepEqual(head['payload'], {
    bytes: 2_000,
    sha256: createHash('sha256').update(one.payload).digest('hex'),
    follows: false,
  })
})

test('a letter that could not be handled where letters are read goes to the journal, and not round (F25)', async (t) => {
  const stage = new Stage()
  const fromTopic = letter({ topic: 'dead/letters' })
  const forwarded = letter({
    topic: 'dead/of/others',
    properties: properties({ userProperties: { 'mqttasgi-dead-letter': ['some id'] } }),
  })
  await stage.store.keep(fromTopic)
  await stage.store.keep(forwarded)
  t.deepEqual(stage.spooled, [fromTopic, forwarded])
  t.deepEqual(stage.sent, [])
})

test('another failure of publishing is a failure of keeping', async (t) => {
  const publish = async (): Promise<never> => {
    throw new MqttasgiError('ERR_PUBLISH_REFUSED', 'not authorized')
  }
  const spool: DeadLetterStore = { name: 'spool', keep: () => t.fail(), close: async () => {} }
  const store = new TopicDeadLetters({
    topic: 'dead',
    publish,
    spool,
    unverified: false,
    protocolVersion: () => 5,
  })
  await t.throwsAsync(store.keep(letter()), { code: 'ERR_PUBLISH_REFUSED' })
})

test('a letter that a newer one took the place of is not kept', async (t) => {
  const stage = new Stage()
  stage.superseded = true
  t.regex(await unkept(t, stage), /only the newest/)
})
