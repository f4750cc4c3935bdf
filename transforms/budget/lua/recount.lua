#!lua
-- Set counters to what the records say; only while the root is frozen.
--
-- KEYS (1): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
-- ARGV: [1] cmsgpack list of {kind, name, field, form, value, value, ...}: of the hash `kind:name` the field is set to the
--   values in this form: 'count' (grants, amount; the closed state stays), 'number', 'time', 'holder' (grants, campaign),
--   'none' (deleted)
--   [2] who   [3] why
-- Reply: how many were set, or NOT_FROZEN (an error): nothing was written.
-- Writes: the counters, one audit entry.

--@include keys
--@include terms

if not redis.call('HGET', KEYS[1], 'frozen') then return redis.error_reply('NOT_FROZEN freeze the ledger first') end

local function packed(form, place, field, one, other)
  if form == 'number' then return digits(one) end
  if form == 'time' then return struct.pack('>d', one) end
  if form == 'holder' then return struct.pack('>d', one) .. other end
  local kept = redis.call('HGET', place, field)
  return struct.pack('>ddB', one, other, kept and string.byte(kept, 17) or 0)
end

local counters = cmsgpack.unpack(ARGV[1])
for _, one in ipairs(counters) do
  local place, field, form = key(one[1], one[2]), one[3], one[4]
  if form == 'none' then
    redis.call('HDEL', place, field)
  else
    redis.call('HSET', place, field, packed(form, place, field, one[5], one[6]))
  end
end
if #counters > 0 then audit('recount', '', '', ARGV[2], ARGV[3], 0, '', '') end
return #counters
