#!lua
-- Set the pace of an account's total amount, or take it off.
--
-- KEYS (2): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [2] a key that never exists (keys.py, `declared`)
-- ARGV: as in parts/operations.lua; [7] {account, pace as in parts/pacing.lua or false}
-- Reply: as in parts/operations.lua
-- Writes: the account's definition and version, one audit entry, the operation's record.

--@include keys
--@include pacing
--@include terms
--@include operations

local WEIGHT_LIMIT, TIME_LIMIT, SHARE_LIMIT = 100, 1e13, 1e14

local function is_time(number)
  return type(number) == 'number' and math.abs(number) < TIME_LIMIT and number == math.floor(number)
end

local function are_offsets(offsets)
  for i, piece in ipairs(offsets) do
    if not is_time(piece[1]) or not is_time(piece[2]) or math.abs(piece[2]) > DAY then return false end
    if i > 1 and piece[1] <= offsets[i - 1][1] then return false end
  end
  return true
end

local function is_pace(wire)
  local weights, offsets = wire[5], wire[6]
  if not is_time(wire[2]) or not is_time(wire[3]) or wire[2] >= wire[3] or not is_within(wire[4], 0) then return false end
  if #weights < 1 or #weights > 24 or #offsets > 0 and (#weights ~= 24 or offsets[1][1] > wire[2]) then return false end
  for _, weight in ipairs(weights) do
    if not is_within(weight, 0) or weight > WEIGHT_LIMIT then return false end
  end
  if not are_offsets(offsets) then return false end
  local whole = read_pace(wire).whole
  return whole > 0 and whole < SHARE_LIMIT
end

local known = known_answer()
if known then return known end
local pace = change[2]
if pace and not is_pace(pace) then return answer(OUT_OF_RANGE) end
local accounts, outcome = read_accounts({change[1]})
if outcome then return answer(outcome, accounts) end
local terms = accounts[1]
local limit = limit_of(terms, 'total')
if not limit or limit[AMOUNT] < 0 then return answer(NO_SUCH_LIMIT, accounts) end
local old = told(terms)
limit[PACE] = pace
keep_change(terms, old)
return answer(APPLIED, accounts)
