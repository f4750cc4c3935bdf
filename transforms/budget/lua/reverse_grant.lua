#!lua
-- Take a grant back, whole or in part, or lessen a hold; one of which nothing is left is released.
--
-- KEYS (2): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [2] a key that never exists (keys.py, `declared`)
-- ARGV: [1] how much, packed, false = all that stands   [2] what is given back   [3] [4] [5] the reversal as it is told, packed,
--   cut at the two places of its time; the rest as in parts/grant_operations.lua
-- Reply: as in parts/grant_operations.lua, or FROZEN (an error): nothing is done
-- Writes: as decide.lua for a reversal, after the holds that are due; one audit entry, the operation's record.

--@include keys
--@include pacing
--@include accounts
--@include limits
--@include records
--@include log
--@include reversals
--@include holds
--@include terms
--@include grant_operations
--@include standing

if FROZEN then return FROZEN end
local known = known_answer()
if known then return known end
local amount = cmsgpack.unpack(ARGV[1])
if amount ~= false and not is_amount(amount, 1) then return answer(IS.OUT_OF_RANGE, 0, 0, 0) end

-- A msgpack integer of 64 bits.
local function packed_integer(number)
  return '\211' .. struct.pack('>i4I4', math.floor(number / 4294967296), number % 4294967296)
end

return operate(function(grant)
  local stands = grant.amount - grant.taken
  if (amount or 1) > stands then return IS.ABOVE end
end, function(grant)
  local part = amount or grant.amount - grant.taken
  take(grant, part, ARGV[2])
  keep_grant(home_group, grant_id, grant)
  local told = grant.hold == 0 and part or 0
  local at = packed_integer(seen)
  bring(ARGV[3] .. at .. ARGV[4] .. at .. ARGV[5], {told > 0 and REVERSED or UNCHANGED, 0, 0, sequence, 1, told})
  if grant.hold > 0 and not stands(grant.hold) then finish_hold(grant.hold, BY_OPERATOR) end
end)
