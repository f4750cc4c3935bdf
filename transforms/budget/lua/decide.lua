#!lua
-- Decide a batch of requests, proposals against their accounts and reversals: each whole or not at all, in order.
--
-- KEYS (1): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [3] the workers' marks, where they are kept; the last two of ARGV are then as in parts/marks.lua
-- ARGV:
--   [1] cmsgpack columns: {routes, homes, users, route, home, user, amount, times, shapes, restored}
--       restored: as in parts/restoring.lua, where the root is frozen and gets back what it lost; else absent
--       routes: as in parts/accounts.lua; homes: "<campaign>:<generation>"; users: user ids
--       route, home, user (1-based), amount: a number per grant; times: ms since the epoch, per request
--       shapes: per request 1 (one offer of one grant, not held), or
--         {1, place, ends}: the same, held;   {2, place, ends, home, n, ...}: a list of offers of n grants, home = the
--         group of its decision record, place = 0: not held;   {3, place, home, x, y, amount, gives, home, ...}: a
--         reversal, home = the group of its record, x = 0: by amount, then a home (1-based) per occurrence
--       ends: 0 = released, 1 = committed
--   [2] the requests, opaque   [3] grant ids, 16 bytes each   [4] decision ids, 16 bytes each   [5] greatest OrderKey
--   [place] of a hold: the proposal, opaque   [place + 1] its end's OrderKey
--   [place] of a reversal: itself, opaque   [place + 1] its id, its digest, ids of its occurrences, 16 bytes each
-- Reply: {sequence of the log entry or "0", cmsgpack list with a number or a list per request}:
--   1 = granted whole, for the first time; {outcome, repeated, conflicting, entry, unpublished, ...} and for DENIED
--   reason, account, period, use, cap; for REVERSED and UNCHANGED amounts ...; else offer, amounts ...;
--   if the call brought about more: cmsgpack list of {number of the request (1-based), answer}, and the requests that
--   these answer, packed. Outcomes and reasons are counted as in schemas/results.py.
-- Reply FROZEN or ROLLBACK (errors): nothing is decided.
-- Writes: only after the last request is decided (Redis does not roll back). Nothing where all answers are repeats,
--   but that the root has seen the greatest OrderKey.

--@include keys
--@include pacing
--@include accounts
--@include limits
--@include records
--@include log
--@include reversals
--@include holds
--@include marks


local SINGLE_HELD, REVERSAL = 1, 3

local columns = cmsgpack.unpack(ARGV[1])
local restored = columns[10]
if restored and not FROZEN then return redis.error_reply('NOT_FROZEN freeze the ledger first') end
local refused = not restored and (FROZEN or lost_writes())
if refused then return refused end

local routes, homes, users = columns[1], columns[2], columns[3]
local g_route, g_home, g_user, g_amount = columns[4], columns[5], columns[6], columns[7]
local times, shapes = columns[8], columns[9]
local ids, decision_ids = ARGV[3], ARGV[4]

-- Read: everything the batch's grants can touch, once. Reversals and holds that are due read what they need.

local compiled, records, campaigns = {}, {}, {}
for r, route in ipairs(routes) do compiled[r] = compile(route) end
load_slices()
for h, home in ipairs(homes) do
  records[h] = group_of('record', home)
  campaigns[h] = string.match(home, '^[^:]*')
end
local grant_ids = {}
for i = 1, #g_route do
  local id, fields, families_of = string.sub(ids, i * 16 - 15, i * 16), records[g_home[i]].fields, compiled[g_route[i]].families
  grant_ids[i], fields[#fields + 1] = id, id
  for f = 1, #families_of do note_user(families_of[f], users[g_user[i]]) end
end
load_users()
for _, group in ipairs(records) do
  for i, raw in ipairs(fetch(group.hash, group.fields)) do group.at[group.fields[i]] = raw end
end
local latest = seen
for _, time in ipairs(times) do latest = math.max(latest, time) end
read_due(latest, -1)

-- Decide, in tables only.

local has_fresh = false

-- Why the offer cannot be taken whatever is left: a spent id, an amount that is none, or a reversal.
local function refused_before(first, n)
  local reversed = false
  for i = first, first + n - 1 do
    local raw = records[g_home[i]].at[grant_ids[i]]
    if raw then
      local record = read_grant(raw)
      if record.outcome == DENIED then return {unpack(record.parts, 5)} end
      if record.outcome == WAITING then reversed = reversed or record.parts[2] == record.parts[3] end
    end
  end
  for i = first, first + n - 1 do
    if not valid(g_amount[i]) then return {INVALID_AMOUNT, '', '', 0, 0} end
  end
  return reversed and {TAKEN_BACK, '', '', 0, 0} or nil
end

-- Charge the grants first .. first + n - 1, all or none: their amounts, or nil and the refusal.
local function charge(first, n, time)
  local refusal, check = refused_before(first, n)
  if refusal then return nil, refusal end
  local amounts, amount = {}, nil
  for i = first, first + n - 1 do
    local route, user, campaign = compiled[g_route[i]], users[g_user[i]], campaigns[g_home[i]]
    amount, refusal, check = fitting(route, user, g_amount[i], n == 1, campaign, time)
    if not amount then
      for j = first, i - 1 do
        move(compiled[g_route[j]], users[g_user[j]], amounts[j - first + 1], -1, campaigns[g_home[j]])
      end
      if check.counter and check.limit.full == CLOSE and (refusal[1] == GRANTS or refusal[1] == AMOUNT) then
        check.counter.c, check.counter.dirty = 1, true
      end
      return nil, refusal
    end
    move(route, user, amount, 1, campaign)
    amounts[#amounts + 1] = amount
  end
  for i = first, first + n - 1 do cool(compiled[g_route[i]], users[g_user[i]], time) end
  return amounts
end

-- Record a grant that has been charged; number = of its hold, or 0.
local function approve(i, amount, offer, number)
  local group, id = records[g_home[i]], grant_ids[i]
  local waiting = waiting_in(group.at[id])
  local grant = {
    outcome = number == 0 and GRANTED or HELD, user = users[g_user[i]], asked = g_amount[i], entry = sequence,
    offer = offer, amount = amount, told = amount, taken = 0, route = number_of(compiled[g_route[i]]), hold = number,
    at = #compiled[g_route[i]].cooldowns > 0 and times[answering] or nil}
  if number > 0 then note_held(compiled[g_route[i]], amount, true, 1) end
  if waiting then take_overtaken(grant, waiting) end
  keep_grant(group, id, grant)
end

local function approve_all(place, first, n, amounts, offer, ends)
  local number = 0
  if place > 0 then
    local grants = {}
    for i = first, first + n - 1 do
      grants[#grants + 1] = homes[g_home[i]]
      grants[#grants + 1] = grant_ids[i]
    end
    number = hold(ends, offer, ARGV[place], ARGV[place + 1], grants)
  end
  for j = 1, n do approve(first + j - 1, amounts[j], offer, number) end
  has_fresh = true
  return {number == 0 and GRANTED or HELD, 0, 0, sequence, 1, offer, unpack(amounts)}
end

local function deny(group, id, user, asked, refusal)
  if refusal[1] == INVALID_AMOUNT then return {DENIED, 0, 0, 0, 0, unpack(refusal)} end
  keep(group, id, {DENIED, user, asked, sequence, unpack(refusal)})
  has_fresh = true
  return {DENIED, 0, 0, sequence, 1, unpack(refusal)}
end

--@include restoring

local function decide_single(i, time, held)
  local id, user, asked, group = grant_ids[i], users[g_user[i]], g_amount[i], records[g_home[i]]
  local raw, route = group.at[id], compiled[g_route[i]]
  if not raw and not held and not route.watched and valid(asked) and fits_whole(route, user, asked) then
    move(route, user, asked, 1, campaigns[g_home[i]])
    has_fresh = true
    keep_raw(group, id, struct.pack(SINGLE, GRANTED, asked, asked, sequence, number_of(route)) .. user)
    return 1
  end
  if raw and not waiting_in(raw) then return answer_again(raw, user, asked) end
  local amounts, refusal = charge(i, 1, time)
  if not amounts then return deny(group, id, user, asked, refusal) end
  if held then return approve_all(held[2], i, 1, amounts, 0, held[3]) end
  if raw or #route.cooldowns > 0 then return approve_all(0, i, 1, amounts, 0) end
  has_fresh = true
  keep_raw(group, id, struct.pack(SINGLE, GRANTED, asked, amounts[1], sequence, number_of(route)) .. user)
  if amounts[1] == asked then return 1 end
  return {GRANTED, 0, 0, sequence, 1, 0, amounts[1]}
end

-- The offer's grants as a list is answered from them, if another decision has made one.
local function made_already(first, n)
  local found, grants = false, {}
  for i = first, first + n - 1 do
    local raw = records[g_home[i]].at[grant_ids[i]]
    local made = raw and is_approved(read_grant(raw).outcome)
    found = found or made
    grants[#grants + 1] = made and homes[g_home[i]] or ''
    grants[#grants + 1] = made and grant_ids[i] or ''
  end
  return found and grants
end

local function decide_list(shape, first, id, time)
  local group, user, asked = group_of('decision', shape[4]), users[g_user[first]], g_amount[first]
  local raw = find(group, id)
  if raw then return answer_again(raw, user, asked) end
  local place = first
  for o = 5, #shape do
    local grants = made_already(place, shape[o])
    if grants then
      keep(group, id, {LISTED, user, asked, o - 5, unpack(grants)})
      return answer_again(group.at[id], user, asked)
    end
    place = place + shape[o]
  end
  place = first
  local refusal
  for o = 5, #shape do
    local amounts
    amounts, refusal = charge(place, shape[o], time)
    if amounts then
      local answer = approve_all(shape[2], place, shape[o], amounts, o - 5, shape[3])
      keep(group, id, {LISTED, user, asked, o - 5, unpack(made_already(place, shape[o]))})
      return answer
    end
    place = place + shape[o]
  end
  return deny(group, id, user, asked, refusal)
end

-- Take back of one occurrence, or wait for it: what was taken back of a grant, what is left of the amount, whether it waits.
local function reverse_one(home, id, share, left, gives, waiting)
  local group = records[home]
  local raw = find(group, id)
  local grant = raw and read_grant(raw)
  if not grant or grant.outcome == WAITING then
    local waits = share and (not grant or is_greater(share[1], share[2], grant.parts[2], grant.parts[3]))
    if waits then keep(group, id, waiting) end
    return 0, left, waits
  end
  if grant.outcome == DENIED then return 0, left, false end
  local part
  if share then
    part = math.max(0, share_of(grant.amount, share[1], share[2]) - grant.taken)
  else
    part = math.min(left, grant.amount - grant.taken)
    left = left - part
  end
  if part == 0 then return 0, left, false end
  take(grant, part, gives)
  keep_grant(group, id, grant)
  if grant.hold == 0 then return part, left, false end
  if not stands(grant.hold) then finish_hold(grant.hold) end
  return 0, left, false
end

local function reverse(shape)
  local place, home, gives = shape[2], shape[3], shape[7]
  local named = ARGV[place + 1]
  local id, content = string.sub(named, 1, 16), string.sub(named, 17, 32)
  local group = group_of('reversal', home)
  local known = find(group, id)
  if known then
    local record = cmsgpack.unpack(known)
    local conflicting = record[2] ~= content and 1 or 0
    return extended({record[1], 1, conflicting, record[3], is_unpublished(record[3])}, record, 5)
  end
  local share, left = shape[4] > 0 and {shape[4], shape[5]} or nil, shape[6]
  local outcome, amounts, is_awaited = UNCHANGED, {}, false
  for j = 1, #shape - 7 do
    local waits
    local waiting = share and {WAITING, share[1], share[2], gives, home, id, j}
    amounts[j], left, waits = reverse_one(shape[7 + j], string.sub(named, 17 + 16 * j, 32 + 16 * j), share, left, gives, waiting)
    if amounts[j] > 0 then outcome = REVERSED end
    is_awaited = is_awaited or waits
  end
  keep(group, id, extended({outcome, content, sequence, is_awaited and ARGV[place] or ''}, amounts))
  has_fresh = true
  return extended({outcome, 0, 0, sequence, 1}, amounts)
end

local reply, place, lists = {}, 1, 0
for p, shape in ipairs(shapes) do
  local time = times[p]
  answering = p
  if time > seen then seen = time end
  if agenda[upcoming] then finish_due(seen) end
  if shape == 1 then
    reply[p] = decide_single(place, time)
    place = place + 1
  elseif shape[1] == SINGLE_HELD then
    reply[p] = decide_single(place, time, shape)
    place = place + 1
  elseif shape[1] == REVERSAL then
    reply[p] = reverse(shape)
  else
    lists = lists + 1
    reply[p] = decide_list(shape, place, string.sub(decision_ids, lists * 16 - 15, lists * 16), time)
    for o = 5, #shape do place = place + shape[o] end
  end
end

if restored then finish_due(latest) end

-- Write.

save_accounts()
save_records()
save_holds()
return with_mark(finish(restored and 'restore' or 'decide', ARGV[5], ARGV[2], reply, has_fresh))
