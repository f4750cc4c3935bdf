#!lua
-- Release a hold before its time: everything that stands of its grants is given back.
--
-- KEYS (2): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [2] a key that never exists (keys.py, `declared`)
-- ARGV: as in parts/grant_operations.lua
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

return operate(function(grant)
  if not was_held(grant) then return IS.NOT_HELD end
  return ended_already(grant)
end, function(grant)
  end_by_hand(grant, RELEASES)
end)
