-- Whether a grant fits, what it is charged, and how that is given back. Reasons as in schemas/results.py.

local AMOUNT_LIMIT = 1e14
local TOO_OLD, INVALID_AMOUNT, TAKEN_BACK, ACCOUNT_UNKNOWN, PAUSED, CLOSED, LOCKED, COOLDOWN = 1, 2, 3, 4, 5, 6, 7, 8
local USER_GRANTS, USER_AMOUNT, GRANTS, AMOUNT, PACED = 9, 10, 11, 12, 13
local CUT, CLOSE = 'cut', 'close'

local function valid(amount)
  return type(amount) == 'number' and amount >= 1 and amount < AMOUNT_LIMIT and amount == math.floor(amount)
end

local function refuse(reason, check, use, cap)
  return nil, {reason, check.account, check.period, use or 0, cap or 0}, check
end

-- Whether the grant fits whole, with nothing asking for a closer look: the common case, in one pass. Of a payer of a share
-- the whole is asked, which is more: what fits so, fits.
local function fits_whole(route, user, asked)
  local users, own = route.users, route.own
  for i = 1, #users do
    local check = users[i]
    local counter, limit = check.family.at[user], check.limit
    if counter.g >= limit.g or counter.a + (check.cost or asked) > limit.a then return false end
  end
  for i = 1, #own do
    local check = own[i]
    local counter, limit = check.counter, check.limit
    if counter.c == 1 or counter.g >= limit.g or counter.a + (check.cost or asked) > limit.a then return false end
  end
  return route.plain
end

-- The lock or the cool-down that keeps the user out, if one does: the check, its reason, use and cap.
local function barred(route, user, campaign, time)
  if route.lock then
    local holder = route.lock.at[user]
    if holder.n > 0 and holder.campaign ~= campaign then
      return {account = 'campaign/' .. holder.campaign, period = '', limit = NO_LIMIT}, LOCKED
    end
  end
  for _, check in ipairs(route.cooldowns) do
    local last, cooldown = check.family.at[user].at, check.limit.cooldown
    if last and cooldown and time - last < cooldown then return check, COOLDOWN, time - last, cooldown end
  end
end

-- The check whose pace has not let go of so much yet, and what it has let go of; nil if there is none.
local function ahead_of_pace(route, amount, time)
  for _, check in ipairs(route.paced) do
    local cap = paced_cap(check.limit.pace, check.limit.a, time)
    if check.counter.a + charged(check, amount) > cap then return check, cap end
  end
end

-- The amount that fits every limit, at most what is asked; or nil, the refusal and the check that refused.
local function fitting(route, user, asked, cuttable, campaign, time)
  local bar, reason, since, cooldown
  if route.watched then
    bar, reason, since, cooldown = barred(route, user, campaign, time)
    if not bar and fits_whole(route, user, asked) and not ahead_of_pace(route, asked, time) then return asked end
  elseif fits_whole(route, user, asked) then
    return asked
  end
  for _, account in ipairs(route.path) do
    if not account.known then return refuse(ACCOUNT_UNKNOWN, {account = account.name, period = '', limit = NO_LIMIT}) end
  end
  for _, account in ipairs(route.path) do
    if account.paused then return refuse(PAUSED, {account = account.name, period = '', limit = NO_LIMIT}) end
  end
  local own, users = route.own, route.users
  for i = 1, #own do
    if own[i].counter.c == 1 then return refuse(CLOSED, own[i]) end
  end
  if bar then return refuse(reason, bar, since, cooldown) end
  local amount, emptied = asked, nil
  if cuttable then
    local function cut(check, counter)
      if check.limit.full == CUT and not check.cost and not check.share then
        local left = math.max(0, check.limit.a - counter.a)
        if left < amount then
          amount, emptied = left, left == 0 and check or nil
        end
      end
    end
    for i = 1, #users do cut(users[i], users[i].family.at[user]) end
    for i = 1, #own do cut(own[i], own[i].counter) end
  end
  for i = 1, #users do
    local check = users[i]
    local counter = check.family.at[user]
    if counter.g + 1 > check.limit.g then return refuse(USER_GRANTS, check, counter.g, check.limit.g) end
  end
  for i = 1, #users do
    local check = users[i]
    local counter = check.family.at[user]
    if check == emptied or counter.a + charged(check, amount) > check.limit.a then
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
    if check == emptied or counter.a + charged(check, amount) > check.limit.a then
      return refuse(AMOUNT, check, counter.a, check.limit.a)
    end
  end
  local check, cap = ahead_of_pace(route, amount, time)
  if check then return refuse(PACED, check, check.counter.a, cap) end
  return amount
end

local function move_shared(route, user, amount, sign)
  local function add(counter, check)
    counter.g, counter.a, counter.dirty = counter.g + sign, counter.a + sign * charged(check, amount), true
  end
  for _, check in ipairs(route.users) do add(check.family.at[user], check) end
  for _, check in ipairs(route.own) do add(check.counter, check) end
end

-- Charge a grant (sign 1), or undo that within the same offer (sign -1).
local function move(route, user, amount, sign, campaign)
  local own, users = route.own, route.users
  if route.shared then
    move_shared(route, user, amount, sign)
    own, users = {}, {}
  end
  for i = 1, #users do
    local counter = users[i].family.at[user]
    counter.g, counter.a, counter.dirty = counter.g + sign, counter.a + sign * (users[i].cost or amount), true
  end
  for i = 1, #own do
    local counter = own[i].counter
    counter.g, counter.a, counter.dirty = counter.g + sign, counter.a + sign * (own[i].cost or amount), true
  end
  if route.lock then
    local holder = route.lock.at[user]
    holder.n, holder.campaign, holder.dirty = holder.n + sign, campaign, true
  end
end

-- Note the time of an approval for the cool-downs on its route.
local function cool(route, user, time)
  for _, check in ipairs(route.cooldowns) do
    local last = check.family.at[user]
    if not last.at or time > last.at then last.at, last.dirty = time, true end
  end
end

local function lessen(counter, check, part, whole, left)
  counter.a = math.max(0, counter.a - part_of(check, part, whole, left))
  if whole then counter.g = math.max(0, counter.g - 1) end
  counter.dirty = true
end

-- Take a part of a grant off what `gives` names; whole = nothing is left of it. left, left_of_user = what then still counts of
-- it there: what stands, and what was taken back without being given back.
local function give_back(route, user, part, whole, gives, left, left_of_user)
  if string.find(gives, 'limits', 1, true) then
    for _, check in ipairs(route.users) do lessen(of_user(check.family, user), check, part, whole, left_of_user) end
  end
  if string.find(gives, 'budget', 1, true) then
    for _, check in ipairs(route.own) do lessen(check.counter, check, part, whole, left) end
  end
  if whole and route.lock and string.find(gives, 'lock', 1, true) then
    local holder = of_user(route.lock, user)
    holder.n, holder.dirty = holder.n - 1, true
  end
end
