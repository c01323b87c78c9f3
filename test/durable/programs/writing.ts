// Writes into a journal as fast as it can and says what is stored; made to be killed. Arguments: folder, first number.
import { DurableMap } from '../../../lib/durable/durable-map.ts'

const [folder = '', first = '0'] = process.argv.slice(2)
const map = await DurableMap.open({ folder, segmentBytes: 20_000 })
process.stdout.write('open\n')
for (let number = Number(first); ; number += 10) {
  const batch = Array.from({ length: 10 }, (_, i) => number + i)
  await Promise.all(batch.map((one) => map.put(`${one}`, Buffer.from(`value of ${one} `.repeat(20)))))
  // Every other one is taken out again, so that there is something to clean.
  const gone = batch.filter((one) => one % 2 === 1)
  process.stdout.write(batch.map((one) => `stored ${one}\n`).join(''))
  await Promise.all(gone.map((one) => map.delete(`${one}`)))
  process.stdout.write(gone.map((one) => `gone ${one}\n`).join(''))
}
