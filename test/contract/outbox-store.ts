// What every OutboxStore promises. Run by each implementation's own test file.
import type { ExecutionContext, TestFn } from 'ava'
import type { KeptPublication, OutboxStore } from '../../lib/core/outbox-store.ts'

/** Opens the same store again and again; what it left there is found by the next one. */
export type OpenOutboxStore = () => OutboxStore | Promise<OutboxStore>

export function kept(key: string, topic = 'a', more: Partial<KeptPublication> = {}): KeptPublication {
  return { key, topic, payload: Buffer.from(key), options: { qos: 1 }, publishedAt: 1_000, ...more }
}

async function left(open: OpenOutboxStore): Promise<readonly KeptPublication[]> {
  const store = await open()
  const found = await store.load()
  await store.close()
  return found
}

async function keysLeft(open: OpenOutboxStore): Promise<string[]> {
  return (await left(open)).map(({ key }) => key)
}

/** Registers the suite. `make` gives a place of its own that was never used. */
export function outboxStoreContract(
  test: TestFn,
  name: string,
  make: (t: ExecutionContext) => OpenOutboxStore | Promise<OpenOutboxStore>,
): void {
  const promise = (title: string, run: (t: ExecutionContext, open: OpenOutboxStore) => Promise<void>): void =>
    test(`${name}: ${title}`, async (t) => run(t, await make(t)))

  promise('a new one is empty', async (t, open) => {
    t.deepEqual(await left(open), [])
  })

  promise('what is kept comes back whole', async (t, open) => {
    const everything = kept('1', 'grüße/😀', {
      payload: Buffer.from([0, 255, 1, 2]),
      options: {
        qos: 2,
        retain: true,
        properties: {
          payloadFormatIndicator: true,
          messageExpiryInterval: 3_600,
          contentType: 'text/plain',
          responseTopic: 'answers/1',
          correlationData: Buffer.from([1, 0, 255]),
          userProperties: { a: ['1', '2'], b: '3' },
        },
      },
      publishedAt: 1_700_000_000_000,
    })
    const bare = kept('2', 'b', { payload: Buffer.alloc(0) })
    const store = await open()
    await Promise.all([store.keep(everything), store.keep(bare)])
    await store.close()
    const found = await left(open)
    t.deepEqual(found.map(plain), [everything, bare].map(plain))
    t.true(found[0]?.payload.equals(everything.payload))
  })

  promise('a user property may be named __proto__', async (t, open) => {
    const userProperties = JSON.parse('{"__proto__": "x"}') as Record<string, string>
    const store = await open()
    await store.keep(kept('1', 'a', { options: { qos: 1, properties: { userProperties } } }))
    await store.close()
    const [found] = await left(open)
    t.deepEqual(Object.entries(found?.options.properties?.userProperties ?? {}), [['__proto__', 'x']])
  })

  promise('it comes back in the order in which it was kept, without what was removed', async (t, open) => {
    const store = await open()
    for (const key of ['9', '1', '5', '3', '7']) void store.keep(kept(key))
    void store.remove('1')
    void store.remove('nobody')
    void store.keep(kept('2'))
    await store.remove('7')
    await store.close()
    t.deepEqual(await keysLeft(open), ['9', '5', '3', '2'])
    const again = await open()
    t.is((await again.load()).length, 4)
    await again.remove('9')
    await again.keep(kept('0'))
    await again.close()
    t.deepEqual(await keysLeft(open), ['5', '3', '2', '0'])
  })

  promise('calls take effect in their order, also when nobody awaits them', async (t, open) => {
    const store = await open()
    for (let i = 0; i < 200; i++) {
      void store.keep(kept(`${i}`))
      if (i % 3 > 0) void store.remove(`${i}`)
    }
    await store.close()
    t.deepEqual(
      await keysLeft(open),
      Array.from({ length: 67 }, (_, i) => `${i * 3}`),
    )
  })

  promise('payloads of any size are kept', async (t, open) => {
    const payload = Buffer.alloc(1_000_000, 'x')
    const store = await open()
    await store.keep(kept('large', 'a', { payload }))
    await store.close()
    t.true((await left(open))[0]?.payload.equals(payload))
  })
}

/** Buffers and records without a prototype as plain values. */
function plain(publication: KeptPublication): unknown {
  const { properties } = publication.options
  return JSON.parse(
    JSON.stringify({
      ...publication,
      payload: publication.payload.toString('hex'),
      correlation: Buffer.from(properties?.correlationData ?? []).toString('hex'),
      options: { ...publication.options, properties: { ...properties, correlationData: null } },
    }),
  )
}
