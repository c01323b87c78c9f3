// What is done inside of Redis, each in one piece, and when a Redis is not fit to keep anything.

/** KEYS: the letters by id, the ids in their order, the bytes of all letters. */
export const scripts = {
  /** ARGV: id, letter, the most letters, the most bytes. 1 when it is kept, 0 when there is no room. */
  keep: `
local old = redis.call('HSTRLEN', KEYS[1], ARGV[1])
local count = redis.call('HLEN', KEYS[1])
local bytes = tonumber(redis.call('GET', KEYS[3]) or '0') - old + #ARGV[2]
if old == 0 and count >= tonumber(ARGV[3]) or bytes > tonumber(ARGV[4]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
redis.call('SET', KEYS[3], string.format('%.0f', bytes))
return 1`,
  /** ARGV: ids. How many of them were there. */
  remove: `
local gone, count = 0, 0
for _, id in ipairs(ARGV) do
  gone = gone + redis.call('HSTRLEN', KEYS[1], id)
  count = count + redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
local bytes = tonumber(redis.call('GET', KEYS[3]) or '0') - gone
redis.call('SET', KEYS[3], string.format('%.0f', bytes))
return count`,
} as const

/** Whether a Redis of this INFO removes keys without a time limit when its memory is full. */
export function evicts(info: string): boolean {
  const limit = /^maxmemory:(\d+)/m.exec(info)?.[1] ?? '0'
  return limit !== '0' && /^maxmemory_policy:allkeys/m.test(info)
}
