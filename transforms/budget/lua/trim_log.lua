#!lua
-- Note how far log and audit are exported, and trim the log of what is exported and unmarked.
--
-- KEYS (2): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [2] a key that never exists (keys.py, `declared`)
-- ARGV: [1] the keeper's token   [2] sequence of the last entry of the log that is exported, 0 = none
--   [3] id of the last entry of the audit that is exported, '' = none
-- Reply: how many entries were trimmed; -1 = another keeper has taken over, nothing was written.
-- Writes: the keeper's hash: exported, audited; the log.

--@include keys

local place = key('keeper')
local kept = redis.call('HMGET', place, 'token', 'exported')
if kept[1] ~= ARGV[1] then return -1 end
local exported = math.max(tonumber(ARGV[2]), tonumber(kept[2]) or 0)
redis.call('HSET', place, 'exported', digits(exported), 'audited', ARGV[3])
local marked = redis.call('ZRANGE', key('unpublished'), 0, 0)[1]
local first_kept = exported + 1
if marked then first_kept = math.min(first_kept, tonumber(marked)) end
return redis.call('XTRIM', key('log'), 'MINID', digits(first_kept) .. '-0')
