// Keeps dead letters until the disk refuses one, and says of each what became of it.
import { JournalDeadLetters } from '../../lib/durable/journal-dead-letters.ts'
import { letter } from '../helpers/letters.ts'

const [folder = '', most = '0'] = process.argv.slice(2)
const journal = new JournalDeadLetters({ folder, maxMessages: 1_000_000, maxBytes: 1_000_000_000 })
let refusals = 0
for (let i = 0; i < Number(most) && refusals < 3; i++) {
  const id = String(i).padStart(8, '0')
  try {
    await journal.keep(letter({ id, payload: Buffer.alloc(1_000, i) }))
    console.log(`kept ${id}`)
  } catch (error) {
    refusals++
    console.log(`refused ${error instanceof Error && 'code' in error ? String(error.code) : String(error)}`)
  }
}
await journal.close().catch(() => {})
