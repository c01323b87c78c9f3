// Which Redis is not fit to keep anything.
import test from 'ava'
import { evicts } from '../../lib/durable/redis-rules.ts'

test('a Redis evicts when its memory has a limit and its policy takes any key', (t) => {
  t.true(evicts('maxmemory:1000\r\nmaxmemory_policy:allkeys-lru\r\n'))
  t.false(evicts('maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n'))
  t.false(evicts('maxmemory:1000\r\nmaxmemory_policy:volatile-lru\r\n'))
  t.false(evicts('maxmemory:1000\r\nmaxmemory_policy:noeviction\r\n'))
  // A user who may not ask is given the benefit of the doubt.
  t.false(evicts(''))
})
