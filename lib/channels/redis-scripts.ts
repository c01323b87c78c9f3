// What is done inside of Redis, each in one piece. An event is a text: when it ends, in milliseconds of 13 digits, and its bytes.

const now = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`

type Script = 'send' | 'take' | 'putBack' | 'join' | 'members'

export const channelScripts: Readonly<Record<Script, string>> = {
  /**
   * The key stays longer than its events, so that somebody counts those that nobody has received.
   * KEYS: channels. ARGV: capacity, expiry in milliseconds, event, then for each channel its bell and what is said
   * with it. For each channel: how many events were expired, or where it was full, minus one and minus their number.
   */
  send: `${now}
local result = {}
for i, key in ipairs(KEYS) do
  local expired = 0
  local first = redis.call('LINDEX', key, 0)
  while first and tonumber(string.sub(first, 1, 13)) <= now do
    redis.call('LPOP', key)
    expired = expired + 1
    first = redis.call('LINDEX', key, 0)
  end
  if redis.call('LLEN', key) >= tonumber(ARGV[1]) then
    result[i] = -1 - expired
  else
    redis.call('RPUSH', key, string.format('%013d', now + ARGV[2]) .. ARGV[3])
    redis.call('PEXPIRE', key, 2 * ARGV[2])
    redis.call('PUBLISH', ARGV[2 + 2 * i], ARGV[3 + 2 * i])
    result[i] = expired
  end
end
return result`,
  /** KEYS: a channel. How many events were expired, and then the oldest that was not, if there is one. */
  take: `${now}
local expired = 0
while true do
  local first = redis.call('LPOP', KEYS[1])
  if not first then return {expired} end
  if tonumber(string.sub(first, 1, 13)) > now then return {expired, first} end
  expired = expired + 1
end`,
  /** KEYS: a channel. ARGV: an event that was taken for somebody who has gone, the bell, what is said with it. */
  putBack: `${now}
local left = tonumber(string.sub(ARGV[1], 1, 13)) - now
if left <= 0 then return 1 end
redis.call('LPUSH', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < left then redis.call('PEXPIRE', KEYS[1], left) end
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 0`,
  /** KEYS: a group. ARGV: a channel, milliseconds it stays. Whether it was not in the group, as 1 or 0. */
  join: `${now}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local added = redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return added`,
  /** KEYS: a group. Its channels. */
  members: `${now}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGE', KEYS[1], 0, -1)`,
}
