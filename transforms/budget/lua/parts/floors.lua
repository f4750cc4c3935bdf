-- What was dropped: it is not there any more, and nothing of it is decided anew.
--
-- The hash of floors: time = slices of time, locks, lists and reversals that ended by it are gone; below:<campaign> = its
-- dated generations that start before it are gone; over:<campaign> = 1: its lifetime's are gone. Nothing below = no floor.
-- The sorted set of generations names what can be dropped: 'record:<campaign>:<generation>' with its start, all else
-- ('user:...', 'lock:...', 'decision:...', 'reversal:...', 'slice:<period>:<start>:<account>') with its end.

local DAY = 86400000
local LONGEST = {hour = 7200000, day = 90000000, week = 608400000, month = 2682000000}

local floor = tonumber(redis.call('HGET', key('floors'), 'time'))

local campaign_floors = {}

local function floor_of(campaign)
  local found = campaign_floors[campaign]
  if not found then
    local raw = redis.call('HMGET', key('floors'), 'below:' .. campaign, 'over:' .. campaign)
    found = {below = tonumber(raw[1]) or -math.huge, over = raw[2] == '1'}
    campaign_floors[campaign] = found
  end
  return found
end

-- When a slice of time ends at the latest; nil = never.
local function end_of(period, start)
  local longest = LONGEST[period] or LONGEST[string.match(period, '^user/(.*)')]
  return longest and start + longest
end

local function end_of_lock(start)
  return start ~= 0 and start + LONGEST.month or nil
end

local function start_of(generation)
  local kind, number = string.match(generation, '^([dw])(-?%d+)$')
  return kind and tonumber(number) * (kind == 'd' and DAY or 1)
end

local function is_dropped_home(kind, home)
  if not floor then return false end
  if kind ~= 'record' then return (tonumber(home) + 1) * DAY <= floor end
  local campaign, generation = string.match(home, '^([^:]*):(.*)$')
  local start, found = start_of(generation), floor_of(campaign)
  if start then return start < found.below end
  return found.over
end

-- Of an account's slice, or of a lock (account nil).
local function is_dropped_slice(account, ends)
  if not floor then return false end
  if ends then return ends <= floor end
  local campaign = account and string.match(account, '^campaign/(.*)')
  return campaign and floor_of(campaign).over or false
end

local made = {}

local function note_made(member, score)
  local n = #made
  made[n + 1], made[n + 2] = digits(score), member
end

local function save_made()
  for first = 1, #made, 1000 do
    redis.call('ZADD', key('generations'), unpack(made, first, math.min(first + 999, #made)))
  end
end
