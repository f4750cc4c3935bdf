-- Records of what was decided, and the answers they give. Outcomes as in schemas/results.py.
--
-- Of a grant, packed: {outcome, user, asked, entry, offer, amount, told, taken, route, hold}: amount = approved, told =
-- in its answer, taken = taken back so far, hold = its number or 0. One that was plainly granted, by far the most, is
-- packed shorter and faster: byte 1, asked, amount, entry, route, user. What the counters cannot be told from without it
-- stands behind, from the 12th value on, where there is any: kept_budget, kept_limits = taken back, and not given back to
-- them; gave = what was given back with the last of it, false = everything; at = its time, where a cool-down counts it.
-- {DENIED, user, asked, entry, reason, account, period, use, cap}; {WAITING, x, y, gives, home, id, place}: of the
-- reversal that waits for the grant; {LISTED, user, asked, offer, home, id, ...}: the grants that answered a list ('' =
-- nobody had made it).

local GRANTED, DENIED, HELD, COMMITTED, RELEASED, REVERSED, UNCHANGED = 1, 2, 3, 4, 5, 6, 7
local WAITING, LISTED = 8, 9
local SINGLE = '>BI6I6I6I4'
local EVERYTHING = 'budget limits lock'

-- The list and the values from first on: unpack has a limit, which a reversal of many occurrences would pass.
local function extended(list, values, first)
  for i = first or 1, #values do list[#list + 1] = values[i] end
  return list
end

local groups = {}

local function group_of(kind, home)
  local hash = key(kind, home)
  local group = groups[hash]
  if not group then
    group = {hash = hash, home = home, fields = {}, at = {}, fresh = {}}
    groups[hash] = group
  end
  return group
end

local function find(group, id)
  local raw = group.at[id]
  if raw == nil then
    raw = redis.call('HGET', group.hash, id)
    group.at[id] = raw
  end
  return raw
end

local function keep_raw(group, id, raw)
  local fresh = group.fresh
  local n = #fresh
  group.at[id], fresh[n + 1], fresh[n + 2] = raw, id, raw
end

local function keep(group, id, record)
  keep_raw(group, id, cmsgpack.pack(record))
end

local function save_records()
  for _, group in pairs(groups) do save(group.hash, group.fresh) end
end

local function is_approved(outcome)
  return outcome == GRANTED or outcome == HELD or outcome == COMMITTED or outcome == RELEASED
end

local function read_grant(raw)
  if string.byte(raw) == GRANTED then
    local _, asked, amount, entry, route, place = struct.unpack(SINGLE, raw)
    return {
      outcome = GRANTED, user = string.sub(raw, place), asked = asked, entry = entry, offer = 0, amount = amount,
      told = amount, taken = 0, route = route, hold = 0}
  end
  local part = cmsgpack.unpack(raw)
  if not is_approved(part[1]) then return {outcome = part[1], parts = part} end
  return {
    outcome = part[1], user = part[2], asked = part[3], entry = part[4], offer = part[5], amount = part[6], told = part[7],
    taken = part[8], route = part[9], hold = part[10], kept_budget = part[12], kept_limits = part[13],
    gave = part[14] or nil, at = part[15] or nil}
end

local function keep_grant(group, id, grant)
  if grant.outcome == GRANTED and grant.offer == 0 and grant.taken == 0 and not grant.at then
    local packed = struct.pack(SINGLE, GRANTED, grant.asked, grant.amount, grant.entry, grant.route)
    return keep_raw(group, id, packed .. grant.user)
  end
  local record = {
    grant.outcome, grant.user, grant.asked, grant.entry, grant.offer, grant.amount, grant.told, grant.taken, grant.route,
    grant.hold, 0}
  if grant.kept_budget or grant.kept_limits or grant.gave or grant.at then
    record[12], record[13] = grant.kept_budget or 0, grant.kept_limits or 0
    record[14], record[15] = grant.gave or false, grant.at or false
  end
  keep(group, id, record)
end

local marked = {}

local function is_unpublished(entry)
  if entry == sequence then return 1 end
  if marked[entry] == nil then
    marked[entry] = redis.call('ZSCORE', key('unpublished'), digits(entry)) and 1 or 0
  end
  return marked[entry]
end

local function answer_again(raw, user, asked)
  if string.byte(raw) == GRANTED then
    local _, of_asked, amount, entry, _, place = struct.unpack(SINGLE, raw)
    local conflicting = (of_asked ~= asked or string.sub(raw, place) ~= user) and 1 or 0
    return {GRANTED, 1, conflicting, entry, is_unpublished(entry), 0, amount}
  end
  local record = cmsgpack.unpack(raw)
  local conflicting = (record[2] ~= user or record[3] ~= asked) and 1 or 0
  if record[1] == DENIED then
    return {DENIED, 1, conflicting, record[4], is_unpublished(record[4]), unpack(record, 5)}
  end
  if is_approved(record[1]) then
    return {record[1], 1, conflicting, record[4], is_unpublished(record[4]), record[5], record[7]}
  end
  local first, amounts = nil, {}
  for i = 5, #record, 2 do
    local grant = record[i] ~= '' and read_grant(find(group_of('record', record[i]), record[i + 1]))
    first = first or grant
    amounts[#amounts + 1] = grant and grant.told or 0
  end
  return {first.outcome, 1, conflicting, first.entry, is_unpublished(first.entry), record[4], unpack(amounts)}
end
