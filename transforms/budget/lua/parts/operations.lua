-- What every operation does first and last: known ids, ranges, accounts at the versions that the operator has seen.
--
-- ARGV of each: [1] its id   [2] digest of its change, 16 bytes   [3] cmsgpack list of {account, version} that must hold
--   [4] what, as the audit calls it   [5] who   [6] why   [7] the change, as the script says
-- Reply of each: {outcome, repeated, conflicting, version, ...}; outcomes as in schemas/results.py.

local OUT_OF_RANGE, ACCOUNT_UNKNOWN, VERSION_CONFLICT, NO_SUCH_LIMIT = 1, 2, 3, 4
local UNITS_DIFFER, WRONG_DIRECTION, NOT_LEFT, APPLIED = 5, 6, 7, 8
local GRANTS, AMOUNT, PACE = 2, 3, 6

local change = cmsgpack.unpack(ARGV[7])

local function known_answer()
  local raw = redis.call('HGET', key('operations'), ARGV[1])
  if not raw then return nil end
  local record = cmsgpack.unpack(raw)
  return {record[2], 1, record[1] ~= ARGV[2] and 1 or 0, unpack(record, 3)}
end

local function is_within(number, least)
  return type(number) == 'number' and number >= least and number <= CAP_LIMIT and number == math.floor(number)
end

-- The answer; recorded, unless the request contradicts itself.
local function answer(outcome, accounts)
  if outcome == OUT_OF_RANGE then return {OUT_OF_RANGE, 0, 0} end
  local versions = {}
  for i, terms in ipairs(accounts) do versions[i] = terms.version end
  redis.call('HSET', key('operations'), ARGV[1], cmsgpack.pack({ARGV[2], outcome, unpack(versions)}))
  return {outcome, 0, 0, unpack(versions)}
end

-- The accounts' terms, and the outcome that stands in their way, if one does.
local function read_accounts(names)
  local found, outcome = {}, nil
  for i, name in ipairs(names) do
    found[i] = terms_of(name) or {version = 0}
    if not found[i].name then outcome = ACCOUNT_UNKNOWN end
  end
  if outcome then return found, outcome end
  return found, not are_at(cmsgpack.unpack(ARGV[3])) and VERSION_CONFLICT or nil
end

local function limit_of(terms, period)
  for _, limit in ipairs(terms.limits) do
    if limit[1] == period then return limit end
  end
end

local function keep_change(terms, old)
  keep_terms(terms, old, ARGV[4], ARGV[1], ARGV[5], ARGV[6])
end
