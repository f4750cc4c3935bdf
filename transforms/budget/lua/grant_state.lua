#!lua flags=no-writes
-- Tell how a grant stands.
--
-- KEYS (2): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [2] a key that never exists (keys.py, `declared`)
-- ARGV: [1] the group of its record, "<campaign>:<generation>"   [2] its id, 16 bytes
-- Reply: a packed state as in parts/grant_operations.lua, or nothing: nobody has decided it
-- Writes: nothing.

--@include keys
--@include pacing
--@include accounts
--@include limits
--@include records

local raw = redis.call('HGET', key('record', ARGV[1]), ARGV[2])
local grant = raw and read_grant(raw)
if not grant or grant.outcome == WAITING then return false end
local parts = grant.parts
if parts then return cmsgpack.pack({DENIED, parts[2], parts[3], 0, 0, parts[4], 0}) end
return cmsgpack.pack({grant.outcome, grant.user, grant.asked, grant.amount, grant.taken, grant.entry, grant.ended})
