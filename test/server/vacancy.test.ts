import test from 'ava'
import { Vacancy } from '../../lib/server/vacancy.ts'

test('what is given back is in front of what came later, each in its order', (t) => {
  const vacancy = new Vacancy<string>()
  vacancy.push('later 1')
  vacancy.giveBack('given back 1')
  vacancy.push('later 2')
  vacancy.giveBack('given back 2')
  t.is(vacancy.size, 4)
  t.is(vacancy.shift(), 'given back 1')
  t.deepEqual(vacancy.clear(), ['given back 2', 'later 1', 'later 2'])
  t.is(vacancy.size, 0)
  t.is(vacancy.shift(), undefined)
})
