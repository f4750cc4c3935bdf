#!lua
-- Decide a refused proposal again, at the greatest time the root has seen: its refusal is forgotten, then decide.lua runs.
--
-- KEYS (2): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [2] a key that never exists (keys.py, `declared`)
-- ARGV: those of decide.lua for the proposal, or none if the log has it no more; then, before those of
--   parts/grant_operations.lua, "record" or "decision", the group of that record, its id there, the log entry that told the
--   refusal, the code of the reason that is never undone (taken back before it came)
-- Reply: as in parts/grant_operations.lua, or FROZEN (an error): nothing is done
-- Writes: as decide.lua; one audit entry, the operation's record. A failure on the way leaves an id that nobody has
--   decided: asked again, it is.

--@include keys
--@include terms
--@include grant_operations

local DENIED, TIMES, OWN = 2, 8, 13

local function before_given(place)
  return ARGV[#ARGV - OWN + place]
end

local function greatest_time()
  local high, low = struct.unpack('>I4I4', redis.call('HGET', KEYS[1], 'newest'))
  return (high - 2147483648) * 4294967296 + low
end

local function decide_anew()
--@script decide
end

if redis.call('HEXISTS', KEYS[1], 'frozen') == 1 then return redis.error_reply('FROZEN nothing is decided until the ledger is unfrozen') end
local known = known_answer()
if known then return known end
if #ARGV == OWN then return answer(IS.UNKNOWN, 0, 0, 0) end
local records = key(before_given(1), before_given(2))
local raw = redis.call('HGET', records, before_given(3))
if not raw then return answer(IS.UNKNOWN, 0, 0, 0) end
local refusal = string.byte(raw) ~= 1 and cmsgpack.unpack(raw) or {}
if refusal[1] ~= DENIED or digits(refusal[4]) ~= before_given(4) then return answer(IS.NOT_DENIED, 0, 0, 0) end
if digits(refusal[5]) == before_given(5) then return answer(IS.TAKEN_BACK, DENIED, 0, 0) end

local columns = cmsgpack.unpack(ARGV[1])
columns[TIMES] = {greatest_time()}
ARGV[1] = cmsgpack.pack(columns)
redis.call('HDEL', records, before_given(3))
local decided = cmsgpack.unpack(decide_anew()[2])[1]
if decided == 1 then decided = {1, 0, 0, tonumber((redis.call('HGET', KEYS[1], 'sequence'))), 1, 0, columns[7][1]} end
local amount = 0
if decided[1] ~= DENIED then
  for i = 7, #decided do amount = amount + decided[i] end
end
audit_grant({DENIED, refusal[2], refusal[3], 0, 0, refusal[4], 0}, {decided[1], refusal[2], refusal[3], amount, 0, decided[4], 0})
return answer(IS.APPLIED, decided[1], amount, decided[4])
