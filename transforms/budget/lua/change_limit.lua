#!lua
-- Set one cap of one limit of an account, or raise or lower it; below its use too.
--
-- KEYS (2): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [2] a key that never exists (keys.py, `declared`)
-- ARGV: as in parts/operations.lua; [7] {account, period, 'grants' or 'amount', cap or false, 'set', 'raise' or 'lower'}
-- Reply: as in parts/operations.lua
-- Writes: the account's definition and version, one audit entry, the operation's record.

--@include keys
--@include terms
--@include operations

local function decide(terms)
  local period, cap, direction = change[2], change[4], change[5]
  local column = change[3] == 'grants' and GRANTS or AMOUNT
  local limit = limit_of(terms, period)
  if period == 'user/cooldown' or not limit and period ~= 'total' then return NO_SUCH_LIMIT end
  if column == AMOUNT and cap and terms.unit == '' then return UNITS_DIFFER end
  local before = limit and limit[column] >= 0 and limit[column] or math.huge
  local after = cap or math.huge
  if direction == 'raise' and after <= before or direction == 'lower' and after >= before then return WRONG_DIRECTION end
  local old = told(terms)
  if not limit then
    limit = {'total', -1, -1, 'skip', -1, false}
    terms.limits[#terms.limits + 1] = limit
  end
  limit[column] = cap or -1
  keep_change(terms, old)
  return APPLIED
end

local known = known_answer()
if known then return known end
if change[4] ~= false and not is_within(change[4], 0) then return answer(OUT_OF_RANGE) end
local accounts, outcome = read_accounts({change[1]})
return answer(outcome or decide(accounts[1]), accounts)
