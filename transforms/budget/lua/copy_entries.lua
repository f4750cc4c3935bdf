#!lua
-- Put log entries again behind the last one that was ever exported, so that they are exported; only while frozen.
--
-- KEYS (1): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
-- ARGV: [1] the sequence of the last entry that was exported   [2 ...] sequences of the entries to put again
-- Reply: how many were put, or NOT_FROZEN (an error): nothing was written.
-- Writes: the log, its sequence.

--@include keys

local control = redis.call('HMGET', KEYS[1], 'frozen', 'sequence')
if not control[1] then return redis.error_reply('NOT_FROZEN freeze the ledger first') end
local sequence, copied = math.max(tonumber(control[2]) or 0, tonumber(ARGV[1])), 0
for i = 2, #ARGV do
  local found = redis.call('XRANGE', key('log'), ARGV[i] .. '-0', ARGV[i] .. '-0')[1]
  if found then
    sequence, copied = sequence + 1, copied + 1
    local fields = found[2]
    fields[#fields + 1], fields[#fields + 2] = 'was', ARGV[i]
    redis.call('XADD', key('log'), digits(sequence) .. '-0', unpack(fields))
    redis.call('HSET', KEYS[1], 'sequence', digits(sequence))
  end
end
return copied
