// An MqttTransport with a recorder as its listener, for tests against scripted and real brokers.
import type { ExecutionContext } from 'ava'
import { MqttTransport, type MqttTransportOptions } from '../../lib/transport/mqtt-transport.ts'
import type { ConnectionFailure, ConnectionInfo } from '../../lib/transport/transport.ts'
import { Recorder } from '../contract/transport.ts'
import { startScriptedBroker, type Listen, type Script, type ScriptedBroker } from './scripted-broker.ts'

export interface TransportSetup {
  readonly transport: MqttTransport
  readonly recorder: Recorder
  /** Connects and resolves when connected. */
  readonly connect: (version?: 4 | 5) => Promise<ConnectionInfo>
  /** Connects and resolves with why that failed, or ended. */
  readonly fail: (version?: 4 | 5) => Promise<ConnectionFailure>
}

/** The transport is closed with the test. */
export function setupTransport(
  t: ExecutionContext,
  options: Partial<MqttTransportOptions> & Pick<MqttTransportOptions, 'address'>,
): TransportSetup {
  const transport = new MqttTransport({
    clientId: 'hall',
    clean: true,
    keepaliveSeconds: 60,
    sessionExpirySeconds: 3_600,
    receiveMaximum: 64,
    maxPacketBytes: 1_048_576,
    ...options,
  })
  const recorder = new Recorder()
  transport.listen(recorder)
  t.teardown(() => transport.close(500))
  const connect = async (version: 4 | 5 = 5): Promise<ConnectionInfo> => {
    const count = recorder.infos.length
    transport.connect(version)
    return await recorder.nth(recorder.infos, count + 1)
  }
  const fail = async (version: 4 | 5 = 5): Promise<ConnectionFailure> => {
    const count = recorder.failures.length
    transport.connect(version)
    return await recorder.nth(recorder.failures, count + 1)
  }
  return { transport, recorder, connect, fail }
}

/** The same, over TCP to a scripted broker. */
export async function setupScripted(
  t: ExecutionContext,
  script: Script = {},
  options: Partial<MqttTransportOptions> = {},
  listen: Listen = {},
): Promise<TransportSetup & { readonly broker: ScriptedBroker }> {
  const broker = await startScriptedBroker(t, script, listen)
  const address = { type: 'tcp', host: '127.0.0.1', port: broker.port } as const
  return { ...setupTransport(t, { address, ...options }), broker }
}
