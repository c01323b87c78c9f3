// T19: the embedded broker asks nobody for a password, and so nobody but this machine may reach it.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import test from 'ava'
import { startBroker } from '../../lib/broker/index.ts'
import { runProcess } from '../helpers/command-line.ts'
import { temporaryFolder } from '../helpers/temporary-folder.ts'

interface Listener {
  readonly address: string
  readonly port: number
  readonly inode: string
}

/** What `ss -ltn` would say: every TCP socket of this machine that listens. */
function listeners(): readonly Listener[] {
  const LISTEN = '0A'
  return ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state]) => state === LISTEN)
      .map(([, local = '', , , , , , , , inode = '']) => {
        const [address = '', port = ''] = local.split(':')
        return { address, port: Number.parseInt(port, 16), inode }
      }),
  )
}

/** The numbers of the sockets a process holds. */
function socketsOf(pid: number | string): ReadonlySet<string> {
  const inodes = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? ''
    } catch {
      return ''
    }
  })
  return new Set(inodes)
}

const LOOPBACK = new Set(['0100007F', '00000000000000000000000001000000'])
const linuxTest = process.platform === 'linux' ? test : test.skip

linuxTest('the embedded broker listens on loopback and nowhere else', async (t) => {
  for (const host of [undefined, '127.0.0.1', '::1', 'localhost']) {
    const broker = await startBroker(host === undefined ? { port: 0 } : { port: 0, host })
    t.teardown(() => broker.close())
    const ours = socketsOf('self')
    const found = listeners().filter(({ port, inode }) => port === broker.port && ours.has(inode))
    t.is(found.length, 1)
    t.true(LOOPBACK.has(found[0]?.address ?? ''), found[0]?.address)
  }
})

linuxTest('mqttasgi dev listens on loopback and nowhere else', async (t) => {
  const app = `import { mqttasgi } from 'mqttasgi'\nexport const app = mqttasgi().topic('a', () => {})\n`
  const command = runProcess(t, ['dev', './app.ts'], { cwd: temporaryFolder(t, { 'app.ts': app }) })
  await command.seen(/Embedded broker on mqtt:\/\/127\.0\.0\.1:\d+/)
  await command.seen(/running/)
  const ours = socketsOf(command.pid)
  const addresses = listeners()
    .filter(({ inode }) => ours.has(inode))
    .map(({ address }) => address)
  t.true(addresses.length > 0)
  for (const address of addresses) t.true(LOOPBACK.has(address), address)
  command.signal('SIGTERM')
  t.is(await command.ended, 0)
})

test('an address that others can reach is refused', async (t) => {
  for (const host of ['0.0.0.0', '::', '10.0.0.1', 'example.org']) {
    await t.throwsAsync(startBroker({ port: 0, host }), { code: 'ERR_BROKER_OPTION' })
  }
})
