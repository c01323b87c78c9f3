import test from 'ava'
import * as fc from 'fast-check'
import { Crowd, type Member } from '../../lib/server/crowd.ts'

test('it holds exactly what was added and not removed', (t) => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 9 }), { maxLength: 80 }), (indexes) => {
      const members: Member[] = Array.from({ length: 10 }, () => ({ place: 0 }))
      const crowd = new Crowd<Member>()
      const model = new Set<Member>()
      for (const index of indexes) {
        const member = members[index]
        if (member === undefined) continue
        if (model.delete(member)) crowd.remove(member)
        else {
          model.add(member)
          crowd.add(member)
        }
        t.is(crowd.size, model.size)
        t.true([...crowd].every((one) => model.has(one)))
      }
    }),
  )
})

test('members may leave while it is gone through', (t) => {
  const crowd = new Crowd<Member>()
  const members = Array.from({ length: 5 }, () => ({ place: 0 }))
  for (const member of members) crowd.add(member)
  const seen = new Set<Member>()
  for (const member of crowd) {
    seen.add(member)
    crowd.remove(member)
  }
  t.is(seen.size, 5)
  t.is(crowd.size, 0)
  t.notThrows(() => crowd.remove({ place: 0 }))
})
