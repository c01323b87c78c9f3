// A publication as bytes: one line of JSON that says all about it, then its payload as it is. Versioned.
import { MqttasgiError } from '../core/errors.ts'
import type { PublishProperties, QoS } from '../core/message.ts'
import type { KeptPublication } from '../core/outbox-store.ts'

const VERSION = 1
const NEWLINE = 0x0a

export function encodePublication({ options, payload, publishedAt, topic }: KeptPublication): Buffer {
  const { properties, ...rest } = options
  const correlationData = properties?.correlationData
  const head = {
    mqttasgi: 'publication',
    version: VERSION,
    topic,
    publishedAt,
    options: rest,
    properties: properties && {
      ...properties,
      correlationData: correlationData && Buffer.from(correlationData).toString('base64'),
    },
  }
  return Buffer.concat([Buffer.from(`${JSON.stringify(head)}\n`), payload])
}

/** Code: `ERR_OUTBOX_STORE` for what is none, and for one of a later version. */
export function decodePublication(key: string, bytes: Buffer): KeptPublication {
  const end = bytes.indexOf(NEWLINE)
  const head = headOf(bytes.toString('utf8', 0, Math.max(0, end)))
  const { options = {}, properties, publishedAt, topic } = head
  const { qos, retain } = options
  return {
    key,
    topic: String(topic),
    payload: Buffer.from(bytes.subarray(end + 1)),
    options: {
      qos: Number(qos ?? 1) as QoS,
      ...(retain === undefined ? {} : { retain }),
      ...(properties === undefined ? {} : { properties: propertiesOf(properties) }),
    },
    publishedAt: Number(publishedAt),
  }
}

interface Head {
  readonly mqttasgi?: unknown
  readonly version?: unknown
  readonly topic?: unknown
  readonly publishedAt?: unknown
  readonly options?: { readonly qos?: unknown; readonly retain?: boolean }
  readonly properties?: Omit<PublishProperties, 'correlationData'> & { readonly correlationData?: string }
}

function headOf(line: string): Head {
  let head: Head
  try {
    head = JSON.parse(line) as Head
  } catch (cause) {
    throw unreadable('it does not begin with the line of one', cause)
  }
  if (head.mqttasgi !== 'publication') throw unreadable('it does not say that it is one')
  if (head.version !== VERSION) {
    throw unreadable(`its version is ${String(head.version)}, and ${VERSION} is known`)
  }
  return head
}

// A user property may be called __proto__.
function propertiesOf(written: NonNullable<Head['properties']>): PublishProperties {
  const { correlationData, userProperties, ...rest } = written
  return {
    ...rest,
    ...(correlationData === undefined ? {} : { correlationData: Buffer.from(correlationData, 'base64') }),
    ...(userProperties === undefined
      ? {}
      : { userProperties: Object.assign(Object.create(null) as object, userProperties) }),
  }
}

function unreadable(why: string, cause?: unknown): MqttasgiError {
  return new MqttasgiError(
    'ERR_OUTBOX_STORE',
    `What is kept in the outbox is no publication: ${why}. Start the version that wrote it, or move its folder away.`,
    { cause },
  )
}
