#!lua
-- Move a part of one account's total amount to another: what the first is lowered by the second is raised by.
--
-- KEYS (2): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [2] a key that never exists (keys.py, `declared`)
-- ARGV: as in parts/operations.lua; [7] {source, target, amount}
-- Reply: as in parts/operations.lua, with both versions
-- Writes: both accounts' definitions and versions, two audit entries, the operation's record.

--@include keys
--@include terms
--@include operations

local function decide(source, target, amount)
  local from, to = limit_of(source, 'total'), limit_of(target, 'total')
  if not from or not to or from[AMOUNT] < 0 or to[AMOUNT] < 0 then return NO_SUCH_LIMIT end
  if source.unit ~= target.unit then return UNITS_DIFFER end
  local _, used = 0, 0
  if source.use then _, used = struct.unpack('>dd', source.use) end
  if amount > from[AMOUNT] - used or to[AMOUNT] + amount > CAP_LIMIT then return NOT_LEFT end
  local old_source, old_target = told(source), told(target)
  from[AMOUNT], to[AMOUNT] = from[AMOUNT] - amount, to[AMOUNT] + amount
  keep_change(source, old_source)
  keep_change(target, old_target)
  return APPLIED
end

local known = known_answer()
if known then return known end
local amount = change[3]
if not is_within(amount, 1) then return answer(OUT_OF_RANGE) end
local accounts, outcome = read_accounts({change[1], change[2]})
return answer(outcome or decide(accounts[1], accounts[2], amount), accounts)
