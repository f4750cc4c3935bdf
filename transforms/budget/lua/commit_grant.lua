#!lua
-- Commit a hold before its time: the grant that is named whole or less, the others of the hold as they stand.
--
-- KEYS (2): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [2] a key that never exists (keys.py, `declared`)
-- ARGV: [1] how much of the grant, packed, false = all that stands; the rest as in parts/grant_operations.lua
-- Reply: as in parts/grant_operations.lua, or FROZEN (an error): nothing is done
-- Writes: as decide.lua for a hold that ends, those that are due first; one audit entry, the operation's record.

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
if amount ~= false and not is_amount(amount, 0) then return answer(IS.OUT_OF_RANGE, 0, 0, 0) end

return operate(function(grant)
  if not was_held(grant) then return IS.NOT_HELD end
  if amount and amount > grant.amount then return IS.ABOVE end
  return ended_already(grant) or (amount and amount > grant.amount - grant.taken and IS.ABOVE) or nil
end, function(grant)
  take(grant, grant.amount - grant.taken - (amount or grant.amount - grant.taken), EVERYTHING)
  keep_grant(home_group, grant_id, grant)
  end_by_hand(grant, COMMITS)
end)
