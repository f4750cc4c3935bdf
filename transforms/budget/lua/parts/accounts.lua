-- The root's accounts, counters, locks and routes as tables: read when first needed, changed here, saved at the end.
--
-- A route is what a grant is charged to: {lock, charge, ...}; lock = {group, start} or {}, charge = {account, cost
-- (-1 = the granted amount; {x, y, 1 = rounded up} = a share of it), period, start, ...} from the tenant down. Each is kept
-- once, under a number.

--@include floors

local CHUNK = 1000
local NO_LIMIT = {g = CAP_LIMIT, a = CAP_LIMIT, full = 'skip'}
local COOLDOWN_PERIOD = 'user/cooldown'

local control = redis.call('HMGET', KEYS[1], 'sequence', 'newest', 'routes', 'holds', 'frozen')
local sequence = (tonumber(control[1]) or 0) + 1

local FROZEN = control[5] and redis.error_reply('FROZEN nothing is decided until the ledger is unfrozen')

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

local function save(hash, values)
  for first = 1, #values, CHUNK do
    redis.call('HSET', hash, unpack(values, first, math.min(first + CHUNK - 1, #values)))
  end
end

-- Counters of all users: an account's total, and its slices of time.

local function new_counter(raw)
  if not raw then return {g = 0, a = 0, c = 0, dirty = false} end
  local g, a, c = struct.unpack('>ddB', raw)
  return {g = g, a = a, c = c, dirty = false}
end

local function packed_counter(counter)
  return struct.pack('>ddB', counter.g, counter.a, counter.c)
end

local accounts, slices = {}, {}

local function account_of(name)
  local account = accounts[name]
  if account then return account end
  local raw = redis.call('HMGET', key('account', name), 'definition', 'use')
  account = {name = name, total = new_counter(raw[2]), limits = {}, known = raw[1] and true or false, held = 0}
  account.plain = account.known
  if raw[1] then
    local definition = cmsgpack.unpack(raw[1])
    account.paused = definition[4] == 1
    for _, limit in ipairs(definition[3]) do
      local pace = limit[6] and limit[3] >= 0 and read_pace(limit[6]) or nil
      account.limits[limit[1]] = {
        g = limit[2] < 0 and CAP_LIMIT or limit[2], a = limit[3] < 0 and CAP_LIMIT or limit[3], full = limit[4],
        cooldown = limit[5] >= 0 and limit[5] or nil, pace = pace}
    end
    if account.paused then account.plain = false end
  end
  accounts[name] = account
  return account
end

local function slice_of(account, period, start)
  local of_account = slices[account]
  if not of_account then
    of_account = {fields = {}, counters = {}, at = {}, loaded = 0}
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

local function load_slices()
  for account, of_account in pairs(slices) do
    local n = #of_account.fields
    if of_account.loaded < n then
      local wanted = {unpack(of_account.fields, of_account.loaded + 1, n)}
      for i, raw in ipairs(fetch(key('slices', account), wanted)) do
        local counter, read = of_account.counters[of_account.loaded + i], new_counter(raw)
        counter.g, counter.a, counter.c, counter.dirty, counter.made = read.g, read.a, read.c, false, not raw
      end
      of_account.loaded = n
    end
  end
end

-- What is kept per user, in families of one hash each: counters, the time of the last approval, the holder of a lock.

local COUNTS = {read = new_counter, packed = packed_counter}

local LAST = {
  read = function(raw) return {at = raw and struct.unpack('>d', raw) or nil, dirty = false} end,
  packed = function(last) return struct.pack('>d', last.at) end,
}

local HOLDER = {
  read = function(raw)
    if not raw then return {n = 0, dirty = false} end
    local n, place = struct.unpack('>d', raw)
    return {n = n, campaign = string.sub(raw, place), dirty = false}
  end,
  packed = function(holder) return holder.n > 0 and struct.pack('>d', holder.n) .. holder.campaign end,
}

local families = {}

local function family_of(kind, name, form, ends)
  local hash = key(kind, name)
  local family = families[hash]
  if not family then
    family = {hash = hash, form = form, fields = {}, at = {}, ends = ends, member = kind .. ':' .. name}
    families[hash] = family
  end
  return family
end

local function note_user(family, user)
  if family.at[user] == nil then
    family.at[user] = false
    family.fields[#family.fields + 1] = user
  end
end

local function load_users()
  for _, family in pairs(families) do
    for i, raw in ipairs(fetch(family.hash, family.fields)) do family.at[family.fields[i]] = family.form.read(raw) end
  end
end

local function of_user(family, user)
  local found = family.at[user]
  if not found then
    found = family.form.read(redis.call('HGET', family.hash, user))
    family.at[user] = found
  end
  return found
end

-- Routes. `own` checks watch counters of all users, `users` one counter a user; in the order of the path. A route is plain if
-- all its accounts are known and none is paused, and none of its slices was dropped (it has `dropped` then, and what is
-- left of it); watched, if more than counters can refuse a grant.

local function compile(wire)
  local route = {wire = wire, own = {}, users = {}, cooldowns = {}, families = {}, path = {}, paced = {}, plain = true}
  local own, users, families_of = route.own, route.users, route.families
  if wire[1][1] then
    local ends = end_of_lock(wire[1][2])
    if is_dropped_slice(nil, ends) then
      route.dropped = true
    else
      route.lock = family_of('lock', wire[1][1] .. ':' .. digits(wire[1][2]), HOLDER, ends)
      families_of[1] = route.lock
    end
  end
  for c = 2, #wire do
    local charge = wire[c]
    local name, cost = charge[1], charge[2]
    local account = account_of(name)
    route.path[c - 1] = account
    route.plain = route.plain and account.plain
    local share = type(cost) == 'table' and cost or nil
    if share then
      cost, route.shared = nil, true
    elseif cost < 0 then
      cost = nil
    end
    local total = {
      account = name, period = 'total', counter = account.total, limit = account.limits['total'] or NO_LIMIT, cost = cost,
      share = share}
    own[#own + 1] = total
    if total.limit.pace then route.paced[#route.paced + 1] = total end
    for i = 3, #charge, 2 do
      local period, start = charge[i], digits(charge[i + 1])
      local check = {account = name, period = period, limit = account.limits[period] or NO_LIMIT, cost = cost, share = share}
      local ends = end_of(period, charge[i + 1])
      if is_dropped_slice(name, ends) then
        route.dropped = true
      elseif string.sub(period, 1, 4) == 'user' then
        local is_cooldown = period == COOLDOWN_PERIOD
        local checks = is_cooldown and route.cooldowns or users
        check.family = family_of('user', name .. ':' .. period .. ':' .. start, is_cooldown and LAST or COUNTS, ends)
        checks[#checks + 1] = check
        families_of[#families_of + 1] = check.family
      else
        check.counter = slice_of(name, period, start)
        own[#own + 1] = check
      end
    end
  end
  route.plain = route.plain and not route.dropped
  route.watched = route.lock ~= nil or #route.cooldowns > 0 or #route.paced > 0
  return route
end

local routes_by_number, new_routes, route_count = {}, {}, tonumber(control[3]) or 0

local function number_of(route)
  if route.number then return route.number end
  local packed = cmsgpack.pack(route.wire)
  local name = redis.sha1hex(packed)
  route.number = tonumber(redis.call('HGET', key('routes'), name))
  if not route.number then
    route_count = route_count + 1
    route.number = route_count
    local n = #new_routes
    new_routes[n + 1], new_routes[n + 2] = name, digits(route_count)
    new_routes[n + 3], new_routes[n + 4] = digits(route_count), packed
  end
  routes_by_number[route.number] = route
  return route.number
end

local function route_of(number)
  local route = routes_by_number[number]
  if not route then
    route = compile(cmsgpack.unpack(redis.call('HGET', key('routes'), digits(number))))
    route.number = number
    load_slices()
    routes_by_number[number] = route
  end
  return route
end

-- What a grant of so much adds to a counter.
local function charged(check, amount)
  local share = check.share
  if not share then return check.cost or amount end
  if share[3] == 1 then return amount - share_of(amount, share[2] - share[1], share[2]) end
  return share_of(amount, share[1], share[2])
end

-- What a part of a grant, beside which so much of it still counts, is of a counter; whole = nothing is left of the grant.
local function part_of(check, part, whole, left)
  if check.share then return charged(check, left + part) - charged(check, left) end
  return check.cost and (whole and check.cost or 0) or part
end

-- Note that so much of a grant is held now (sign 1) or no longer (-1); whole = nothing is left, or was there before.
local function note_held(route, part, whole, sign, left)
  for _, check in ipairs(route.own) do
    if check.period == 'total' then
      local account = accounts[check.account]
      account.held = account.held + sign * part_of(check, part, whole, left or 0)
    end
  end
end

local function save_accounts()
  for name, account in pairs(accounts) do
    if account.held ~= 0 then redis.call('HINCRBY', key('account', name), 'held', digits(account.held)) end
    if account.total.dirty and account.known then redis.call('HSET', key('account', name), 'use', packed_counter(account.total)) end
  end
  for account, of_account in pairs(slices) do
    local values = {}
    for i, counter in ipairs(of_account.counters) do
      if counter.dirty then
        local field = of_account.fields[i]
        values[#values + 1] = field
        values[#values + 1] = packed_counter(counter)
        if counter.made then
          local period, start = string.match(field, '^(.*):(.*)$')
          local ends = end_of(period, tonumber(start))
          if ends then note_made('slice:' .. field .. ':' .. account, ends) end
        end
      end
    end
    save(key('slices', account), values)
  end
  for _, family in pairs(families) do
    local values = {}
    for user, found in pairs(family.at) do
      if found.dirty then
        local packed = family.form.packed(found)
        if packed then
          values[#values + 1] = user
          values[#values + 1] = packed
        else
          redis.call('HDEL', family.hash, user)
        end
      end
    end
    save(family.hash, values)
    if family.ends and #values > 0 then note_made(family.member, family.ends) end
  end
  if #new_routes > 0 then
    save(key('routes'), new_routes)
    redis.call('HSET', KEYS[1], 'routes', digits(route_count))
  end
end
