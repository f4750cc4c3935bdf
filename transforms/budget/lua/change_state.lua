#!lua
-- Pause an account, close its total, or resume it: from a pause, else from what is closed.
--
-- KEYS (2): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [2] a key that never exists (keys.py, `declared`)
-- ARGV: as in parts/operations.lua; [7] {account, 'paused', 'closed' or 'open'}
-- Reply: as in parts/operations.lua
-- Writes: the account's definition and version, its use and slices of time where they are closed or opened, one audit
--   entry, the operation's record.

--@include keys
--@include terms
--@include operations

local function mark_total(terms, is_closed)
  local g, a = 0, 0
  if terms.use then g, a = struct.unpack('>dd', terms.use) end
  redis.call('HSET', key('account', terms.name), 'use', struct.pack('>ddB', g, a, is_closed and 1 or 0))
  terms.closed = is_closed
end

local function open_slices(name)
  local raw = redis.call('HGETALL', key('slices', name))
  for i = 1, #raw, 2 do
    if string.byte(raw[i + 1], 17) == 1 then
      redis.call('HSET', key('slices', name), raw[i], string.sub(raw[i + 1], 1, 16) .. '\0')
    end
  end
end

local known = known_answer()
if known then return known end
local accounts, outcome = read_accounts({change[1]})
if outcome then return answer(outcome, accounts) end
local terms, state = accounts[1], change[2]
local old = told(terms)
if state == 'paused' then
  terms.paused = 1
elseif state == 'closed' then
  mark_total(terms, true)
elseif terms.paused == 1 then
  terms.paused = 0
else
  if terms.closed then mark_total(terms, false) end
  open_slices(terms.name)
end
keep_change(terms, old)
return answer(APPLIED, accounts)
