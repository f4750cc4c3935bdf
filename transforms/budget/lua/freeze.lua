#!lua
-- Freeze the root, so that nothing is decided, or unfreeze it.
--
-- KEYS (2): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [2] a key that never exists (keys.py, `declared`)
-- ARGV: as in parts/operations.lua; [7] {true or false}
-- Reply: as in parts/operations.lua, without versions
-- Writes: the control hash, one audit entry, the operation's record.

--@include keys
--@include terms
--@include operations

local known = known_answer()
if known then return known end
local _, outcome = read_accounts({})
if outcome then return answer(outcome, {}) end
if change[1] then
  redis.call('HSET', KEYS[1], 'frozen', ARGV[6])
else
  redis.call('HDEL', KEYS[1], 'frozen')
end
audit(ARGV[4], '', ARGV[1], ARGV[5], ARGV[6], 0, '', '')
return answer(APPLIED, {})
