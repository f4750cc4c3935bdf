#!lua
-- Take, renew or give up the one lease of a root's keeper.
--
-- KEYS (2): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [2] a key that never exists (keys.py, `declared`)
-- ARGV: [1] who asks   [2] now, ms of the server's clock   [3] how long the lease is to last, ms; 0 = give it up
-- Reply: {token, who has it}: token = the caller's, 0 = somebody else has the lease, or it is given up. A token is
--   greater than all before it; scripts refuse a keeper whose token is not the latest.
-- Writes: the keeper's hash: owner, token, until.

--@include keys

local place = key('keeper')
local kept = redis.call('HMGET', place, 'owner', 'until', 'token')
local owner, ends, token = kept[1], tonumber(kept[2]) or 0, tonumber(kept[3]) or 0
local now, length = tonumber(ARGV[2]), tonumber(ARGV[3])
if owner ~= ARGV[1] then
  if length == 0 or ends > now then return {0, owner or ''} end
  token = token + 1
end
redis.call('HSET', place, 'owner', ARGV[1], 'until', digits(length == 0 and 0 or now + length), 'token', digits(token))
return {length == 0 and 0 or token, ARGV[1]}
