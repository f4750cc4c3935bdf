#!lua
-- Decide a batch of proposals against their accounts: each whole or not at all, in order.
--
-- KEYS (1): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
-- ARGV:
--   [1] cmsgpack columns: {routes, homes, users, route, home, user, amount, shape, decision_home}
--       routes: per route its accounts from the tenant down: {account, cost (-1 = the granted amount), period, start, ...}
--       homes: "<campaign>:<generation>"; users: user ids; route, home, user (1-based), amount: a number per grant
--       shape: per proposal 1 (one offer of one grant) or the list of its offers' numbers of grants
--       decision_home: per proposal of another shape the group of its decision record
--   [2] the proposals, opaque   [3] grant ids, 16 bytes each   [4] decision ids, 16 bytes each   [5] greatest OrderKey
--   [6] how many proposals there are
-- Reply: {sequence of the log entry or "0", cmsgpack list with a number or a list per proposal}:
--   1 = granted whole, for the first time; {1, repeated, conflicting, entry, unpublished, offer, amounts ...};
--   {0, repeated, conflicting, entry, unpublished, reason, account, period, use, cap}; reasons as in schemas/results.py
-- Writes: only after the last proposal is decided (Redis does not roll back). Nothing where all answers are repeats.

local AMOUNT_LIMIT, CAP_LIMIT = 1e14, 4503599627370496
local INVALID_AMOUNT, ACCOUNT_UNKNOWN, CLOSED, USER_GRANTS, USER_AMOUNT, GRANTS, AMOUNT = 1, 2, 3, 4, 5, 6, 7
local CUT, CLOSE = 'cut', 'close'
local CHUNK = 1000

local prefix = string.match(KEYS[1], '^(.*}:)')

local function key(kind, name)
  return prefix .. kind .. ':' .. name
end

local columns = cmsgpack.unpack(ARGV[1])
local routes, homes, users = columns[1], columns[2], columns[3]
local g_route, g_home, g_user, g_amount = columns[4], columns[5], columns[6], columns[7]
local shapes, decision_homes = columns[8], columns[9]
local ids, decision_ids, count = ARGV[3], ARGV[4], tonumber(ARGV[6])
local grants = #g_route

-- Read: everything the batch can touch, once.

local function new_counter(raw)
  if not raw then return {g = 0, a = 0, c = 0, dirty = false} end
  local g, a, c = struct.unpack('>ddB', raw)
  return {g = g, a = a, c = c, dirty = false}
end

-- HMGET in pieces, since unpack has a limit; found[i] is the value of fields[i] or false.
local function fetch(hash, fields)
  local found, n = {}, #fields
  for first = 1, n, CHUNK do
    local last = math.min(first + CHUNK - 1, n)
    local part = redis.call('HMGET', hash, unpack(fields, first, last))
    for i = first, last do found[i] = part[i - first + 1] end
  end
  return found
end

local accounts, slices, families = {}, {}, {}

local function load_account(name)
  local raw = redis.call('HMGET', key('account', name), 'definition', 'use')
  local account = {name = name, total = new_counter(raw[2]), limits = {}, known = raw[1] and true or false}
  if raw[1] then
    for _, limit in ipairs(cmsgpack.unpack(raw[1])[3]) do
      account.limits[limit[1]] = {
        g = limit[2] < 0 and CAP_LIMIT or limit[2], a = limit[3] < 0 and CAP_LIMIT or limit[3], full = limit[4]}
    end
  end
  accounts[name] = account
  return account
end

local NO_LIMIT = {g = CAP_LIMIT, a = CAP_LIMIT, full = 'skip'}

local function slice_of(account, period, start)
  local of_account = slices[account]
  if not of_account then
    of_account = {fields = {}, counters = {}, at = {}}
    slices[account] = of_account
  end
  local field = period .. ':' .. start
  local counter = of_account.at[field]
  if not counter then
    counter = {}
    of_account.at[field] = counter
    local n = #of_account.fields + 1
    of_account.fields[n], of_account.counters[n] = field, counter
  end
  return counter
end

local function family_of(account, period, start)
  local name = account .. ':' .. period .. ':' .. start
  local family = families[name]
  if not family then
    family = {hash = key('user', name), fields = {}, at = {}}
    families[name] = family
  end
  return family
end

-- A route's checks: `own` watch counters of all users, `of_user` one counter a user; in the order of the path.
local compiled = {}
for r, route in ipairs(routes) do
  local own, of_user, path, known = {}, {}, {}, true
  for _, charge in ipairs(route) do
    local name, cost = charge[1], charge[2]
    local account = accounts[name] or load_account(name)
    path[#path + 1] = account
    known = known and account.known
    if cost < 0 then cost = nil end
    own[#own + 1] = {
      account = name, period = 'total', counter = account.total, limit = account.limits['total'] or NO_LIMIT, cost = cost}
    for i = 3, #charge, 2 do
      local period, start = charge[i], string.format('%.0f', charge[i + 1])
      local check = {account = name, period = period, limit = account.limits[period] or NO_LIMIT, cost = cost}
      if string.sub(period, 1, 4) == 'user' then
        check.family = family_of(name, period, start)
        of_user[#of_user + 1] = check
      else
        check.counter = slice_of(name, period, start)
        own[#own + 1] = check
      end
    end
  end
  compiled[r] = {own = own, of_user = of_user, path = path, known = known}
end

for account, of_account in pairs(slices) do
  local raw = fetch(key('slices', account), of_account.fields)
  for i, counter in ipairs(of_account.counters) do
    local read = new_counter(raw[i])
    counter.g, counter.a, counter.c, counter.dirty = read.g, read.a, read.c, false
  end
end

local records = {}
for h = 1, #homes do records[h] = {fields = {}, at = {}, fresh = {}} end
local grant_ids = {}
for i = 1, grants do
  local id = string.sub(ids, i * 16 - 15, i * 16)
  grant_ids[i] = id
  local fields = records[g_home[i]].fields
  fields[#fields + 1] = id
  for _, check in ipairs(compiled[g_route[i]].of_user) do
    local family, user = check.family, users[g_user[i]]
    if family.at[user] == nil then
      family.at[user] = false
      family.fields[#family.fields + 1] = user
    end
  end
end
for _, family in pairs(families) do
  local raw = fetch(family.hash, family.fields)
  for i, user in ipairs(family.fields) do family.at[user] = new_counter(raw[i]) end
end
for h, home in ipairs(homes) do
  local group = records[h]
  group.hash = key('record', home)
  local raw = fetch(group.hash, group.fields)
  for i, id in ipairs(group.fields) do group.at[id] = group.at[id] or raw[i] end
end
local decided = {}
local function decision_group(home)
  local group = decided[home]
  if not group then
    group = {hash = key('decision', home), at = {}, fresh = {}}
    decided[home] = group
  end
  return group
end

-- Decide, in tables only.

local reply, fresh_decisions = {}, false
local sequence = (tonumber(redis.call('HGET', KEYS[1], 'sequence')) or 0) + 1
local marked = {}

local function is_unpublished(entry)
  if entry == sequence then return 1 end
  if marked[entry] == nil then
    marked[entry] = redis.call('ZSCORE', prefix .. 'unpublished', string.format('%.0f', entry)) and 1 or 0
  end
  return marked[entry]
end

-- Records: {1, user, asked, entry, offer, amounts ...} or {0, user, asked, entry, reason, account, period, use, cap},
-- packed; one grant of one offer, by far the most, is packed shorter and faster: byte 1, asked, amount, entry, user.
local SINGLE = '>Bddd'

local function read_record(raw)
  if string.byte(raw) ~= 1 then return cmsgpack.unpack(raw) end
  local _, asked, amount, entry, place = struct.unpack(SINGLE, raw)
  return {1, string.sub(raw, place), asked, entry, 0, amount}
end

local function answer_again(raw, user, asked)
  local record = read_record(raw)
  local conflicting = (record[2] ~= user or record[3] ~= asked) and 1 or 0
  local answer = {record[1], 1, conflicting, record[4], is_unpublished(record[4])}
  for i = 5, #record do answer[i + 1] = record[i] end
  return answer
end

local function valid(amount)
  return type(amount) == 'number' and amount >= 1 and amount < AMOUNT_LIMIT and amount == math.floor(amount)
end

local function refuse(reason, check, use, cap)
  return nil, {reason, check.account, check.period, use or 0, cap or 0}, check
end

local NOWHERE = {account = '', period = '', limit = NO_LIMIT}

-- Whether the grant fits whole, with no limit asking for a closer look: the common case, in one pass.
local function fits_whole(route, user, asked)
  local of_user, own = route.of_user, route.own
  for i = 1, #of_user do
    local check = of_user[i]
    local counter, limit = check.family.at[user], check.limit
    if counter.g >= limit.g or counter.a + (check.cost or asked) > limit.a then return false end
  end
  for i = 1, #own do
    local check = own[i]
    local counter, limit = check.counter, check.limit
    if counter.c == 1 or counter.g >= limit.g or counter.a + (check.cost or asked) > limit.a then return false end
  end
  return route.known
end

-- The amount that fits every limit, at most what is asked; or nil, the refusal and the check that refused.
local function fitting(route, user, asked, cuttable)
  if not valid(asked) then return refuse(INVALID_AMOUNT, NOWHERE) end
  if fits_whole(route, user, asked) then return asked end
  for _, account in ipairs(route.path) do
    if not account.known then return refuse(ACCOUNT_UNKNOWN, {account = account.name, period = '', limit = NO_LIMIT}) end
  end
  local own, of_user = route.own, route.of_user
  for i = 1, #own do
    if own[i].counter.c == 1 then return refuse(CLOSED, own[i]) end
  end
  local amount, emptied = asked, nil
  if cuttable then
    local function cut(check, counter)
      if check.limit.full == CUT and not check.cost then
        local left = math.max(0, check.limit.a - counter.a)
        if left < amount then
          amount, emptied = left, left == 0 and check or nil
        end
      end
    end
    for i = 1, #of_user do cut(of_user[i], of_user[i].family.at[user]) end
    for i = 1, #own do cut(own[i], own[i].counter) end
  end
  for i = 1, #of_user do
    local check = of_user[i]
    local counter = check.family.at[user]
    if counter.g + 1 > check.limit.g then return refuse(USER_GRANTS, check, counter.g, check.limit.g) end
  end
  for i = 1, #of_user do
    local check = of_user[i]
    local counter = check.family.at[user]
    if check == emptied or counter.a + (check.cost or amount) > check.limit.a then
      return refuse(USER_AMOUNT, check, counter.a, check.limit.a)
    end
  end
  for i = 1, #own do
    local check = own[i]
    local counter = check.counter
    if counter.g + 1 > check.limit.g then return refuse(GRANTS, check, counter.g, check.limit.g) end
  end
  for i = 1, #own do
    local check = own[i]
    local counter = check.counter
    if check == emptied or counter.a + (check.cost or amount) > check.limit.a then
      return refuse(AMOUNT, check, counter.a, check.limit.a)
    end
  end
  return amount
end

local function move(route, user, amount, sign)
  local own, of_user = route.own, route.of_user
  for i = 1, #of_user do
    local counter = of_user[i].family.at[user]
    counter.g, counter.a, counter.dirty = counter.g + sign, counter.a + sign * (of_user[i].cost or amount), true
  end
  for i = 1, #own do
    local counter = own[i].counter
    counter.g, counter.a, counter.dirty = counter.g + sign, counter.a + sign * (own[i].cost or amount), true
  end
end

-- Charge the grants first .. first + n - 1, all or none: their amounts, or nil and the refusal.
local function try(first, n)
  local amounts = {}
  for i = first, first + n - 1 do
    local route, user = compiled[g_route[i]], users[g_user[i]]
    local amount, refusal, check = fitting(route, user, g_amount[i], n == 1)
    if not amount then
      for j = first, i - 1 do move(compiled[g_route[j]], users[g_user[j]], amounts[j - first + 1], -1) end
      if check.counter and check.limit.full == CLOSE and refusal[1] >= USER_GRANTS then
        check.counter.c, check.counter.dirty = 1, true
      end
      return nil, refusal
    end
    move(route, user, amount, 1)
    amounts[#amounts + 1] = amount
  end
  return amounts
end

local function keep_raw(group, id, raw)
  local fresh = group.fresh
  local n = #fresh
  group.at[id], fresh[n + 1], fresh[n + 2] = raw, id, raw
end

local function keep(group, id, record)
  keep_raw(group, id, cmsgpack.pack(record))
end

local function answer_denied(group, id, user, asked, refusal)
  local invalid = refusal[1] == INVALID_AMOUNT
  if not invalid then
    keep(group, id, {0, user, asked, sequence, unpack(refusal)})
    fresh_decisions = true
  end
  return {0, 0, 0, invalid and 0 or sequence, invalid and 0 or 1, unpack(refusal)}
end

local function decide_single(i)
  local id, user, asked, group = grant_ids[i], users[g_user[i]], g_amount[i], records[g_home[i]]
  if group.at[id] then return answer_again(group.at[id], user, asked) end
  local amounts, refusal = try(i, 1)
  if not amounts then return answer_denied(group, id, user, asked, refusal) end
  fresh_decisions = true
  keep_raw(group, id, struct.pack(SINGLE, 1, asked, amounts[1], sequence) .. user)
  if amounts[1] == asked then return 1 end
  return {1, 0, 0, sequence, 1, 0, amounts[1]}
end

-- The record of an offer of which another decision has made a grant; 0 for its grants that none has made.
local function granted_already(first, n)
  local found, amounts = nil, {}
  for j = 1, n do
    local raw = records[g_home[first + j - 1]].at[grant_ids[first + j - 1]]
    local record = raw and read_record(raw)
    local granted = record and record[1] == 1
    if granted then found = found or record end
    amounts[j] = granted and record[6] or 0
  end
  return found and {found[4], amounts}
end

-- The refusal that has spent the id of one of the offer's grants.
local function denied_already(first, n)
  for i = first, first + n - 1 do
    local raw = records[g_home[i]].at[grant_ids[i]]
    local record = raw and read_record(raw)
    if record and record[1] == 0 then return {record[5], record[6], record[7], record[8], record[9]} end
  end
end

local function decide_list(shape, first, id, home)
  local group, user, asked = decision_group(home), users[g_user[first]], g_amount[first]
  if group.at[id] == nil then group.at[id] = redis.call('HGET', group.hash, id) end
  if group.at[id] then return answer_again(group.at[id], user, asked) end
  local place, refusal = first, nil
  for offer, n in ipairs(shape) do
    local known = granted_already(place, n)
    if known then
      keep(group, id, {1, user, asked, known[1], offer - 1, unpack(known[2])})
      return answer_again(group.at[id], user, asked)
    end
    place = place + n
  end
  place = first
  for offer, n in ipairs(shape) do
    local amounts
    refusal = denied_already(place, n)
    if not refusal then amounts, refusal = try(place, n) end
    if amounts then
      fresh_decisions = true
      keep(group, id, {1, user, asked, sequence, offer - 1, unpack(amounts)})
      for j = 1, n do
        local i = place + j - 1
        keep(records[g_home[i]], grant_ids[i], {1, users[g_user[i]], g_amount[i], sequence, offer - 1, amounts[j]})
      end
      return {1, 0, 0, sequence, 1, offer - 1, unpack(amounts)}
    end
    place = place + n
  end
  return answer_denied(group, id, user, asked, refusal)
end

local place, lists = 1, 0
for p = 1, count do
  local shape = shapes[p]
  if shape == 1 then
    reply[p] = decide_single(place)
    place = place + 1
  else
    lists = lists + 1
    local id = string.sub(decision_ids, lists * 16 - 15, lists * 16)
    reply[p] = decide_list(shape, place, id, decision_homes[lists])
    for _, n in ipairs(shape) do place = place + n end
  end
end

-- Write.

local function save(hash, values)
  for first = 1, #values, CHUNK do
    redis.call('HSET', hash, unpack(values, first, math.min(first + CHUNK - 1, #values)))
  end
end

local function packed(counter)
  return struct.pack('>ddB', counter.g, counter.a, counter.c)
end

for name, account in pairs(accounts) do
  if account.total.dirty and account.known then redis.call('HSET', key('account', name), 'use', packed(account.total)) end
end
for account, of_account in pairs(slices) do
  local values = {}
  for i, counter in ipairs(of_account.counters) do
    if counter.dirty then
      values[#values + 1] = of_account.fields[i]
      values[#values + 1] = packed(counter)
    end
  end
  save(key('slices', account), values)
end
for _, family in pairs(families) do
  local values = {}
  for user, counter in pairs(family.at) do
    if counter.dirty then
      values[#values + 1] = user
      values[#values + 1] = packed(counter)
    end
  end
  save(family.hash, values)
end
for _, group in ipairs(records) do save(group.hash, group.fresh) end
for _, group in pairs(decided) do save(group.hash, group.fresh) end

-- Byte order: Lua's own comparison of texts follows the server's locale.
local function before(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then return a < b end
  end
  return #one < #other
end

local newest = redis.call('HGET', KEYS[1], 'newest')
if not newest or before(newest, ARGV[5]) then redis.call('HSET', KEYS[1], 'newest', ARGV[5]) end
local answers = cmsgpack.pack(reply)
if not fresh_decisions then return {'0', answers} end
local now = redis.call('TIME')
local milliseconds = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
local entry = string.format('%.0f', sequence)
redis.call('HSET', KEYS[1], 'sequence', entry)
redis.call('XADD', prefix .. 'log', entry .. '-0', 'kind', 'decide', 'ms', milliseconds, 'proposals', ARGV[2], 'answers', answers)
redis.call('ZADD', prefix .. 'unpublished', entry, entry)
return {entry, answers}
