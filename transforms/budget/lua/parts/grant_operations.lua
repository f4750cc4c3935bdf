-- What every operation on a grant does first and last.
--
-- The last eight ARGV of each: its id, digest of its change (16 bytes), what, who, why, the grant's campaign, its
--   generation, its id (16 bytes)
-- Reply of each: {outcome, repeated, conflicting, became, amount, entry}; outcomes as in schemas/results.py; became = what
--   the grant is then, 0 = nobody knows it; entry = of the log, 0 = none.
-- A state, as the audit tells it: {outcome, user, asked, amount, taken, entry, ended}; ended as in parts/records.lua.

local IS = {
  OUT_OF_RANGE = 1, UNKNOWN = 2, DENIED = 3, NOT_DENIED = 4, TAKEN_BACK = 5, NOT_HELD = 6, ABOVE = 7,
  ALREADY_COMMITTED = 8, ALREADY_RELEASED = 9, DUE = 10, APPLIED = 11}

local function given(place)
  return ARGV[#ARGV - 8 + place]
end

local function known_answer()
  local raw = redis.call('HGET', key('grant_operations'), given(1))
  if not raw then return nil end
  local record = cmsgpack.unpack(raw)
  return {record[2], 1, record[1] ~= given(2) and 1 or 0, unpack(record, 3)}
end

-- The answer; recorded, unless the request contradicts itself or nobody knows the grant.
local function answer(outcome, became, amount, entry)
  if outcome ~= IS.OUT_OF_RANGE and outcome ~= IS.UNKNOWN then
    redis.call('HSET', key('grant_operations'), given(1), cmsgpack.pack({given(2), outcome, became, amount, entry}))
  end
  return {outcome, 0, 0, became, amount, entry}
end

local function audit_grant(old, new)
  local hex = string.gsub(given(8), '.', function(byte) return string.format('%02x', string.byte(byte)) end)
  old, new = cmsgpack.pack({given(6), given(7), hex, old}), cmsgpack.pack({given(6), given(7), hex, new})
  audit(given(3), 'campaign/' .. given(6), given(1), given(4), given(5), 0, old, new)
end
