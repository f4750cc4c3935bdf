#!lua
-- Raise the floors, and drop what lies below them as a whole.
--
-- KEYS (2): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [2] a key that never exists (keys.py, `declared`)
-- ARGV: [1] cmsgpack {time, {campaign, below, 1 = over or 0}, ...}, ms   [2] how many to look at   [3] how many to pass by
-- Reply: {dropped, how many the next call is to pass by; -1 = nothing more lies below the floors}
-- Writes: floors (a floor never falls, and stays at the generation of a hold that has not ended); deletes what is below.

--@include keys
--@include floors

local asked, most, passed = cmsgpack.unpack(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local held = {}
for _, home in ipairs(redis.call('HKEYS', key('held'))) do
  local campaign, generation = string.match(home, '^([^:]*):(.*)$')
  local of = held[campaign] or {least = math.huge}
  held[campaign] = of
  of.least, of.lifetime = math.min(of.least, start_of(generation) or math.huge), of.lifetime or not start_of(generation)
end

local function raise(field, to)
  redis.call('HSET', key('floors'), field, digits(to))
end

if not floor or asked[1] > floor then
  floor = asked[1]
  raise('time', floor)
end
local highest = floor
for i = 2, #asked do
  local campaign, below, over = unpack(asked[i])
  local found, of = floor_of(campaign), held[campaign]
  if of then below = math.min(below, of.least) end
  if below > found.below then
    found.below = below
    raise('below:' .. campaign, below)
  end
  highest = math.max(highest, found.below)
  if over == 1 and not (of and of.lifetime) and not found.over then
    found.over = true
    raise('over:' .. campaign, 1)
  end
  if found.over then
    local account = 'campaign/' .. campaign
    redis.call('UNLINK', key('record', campaign .. ':'), key('user', account .. ':user:0'),
      key('user', account .. ':user/cooldown:0'))
  end
end

local dropped = 0
local function drop(member, ends)
  local kind, rest = string.match(member, '^([^:]*):(.*)$')
  if kind == 'record' then
    if not is_dropped_home(kind, rest) then return false end
  elseif ends > floor then
    return false
  end
  if kind == 'slice' then
    local period, start, account = string.match(rest, '^([^:]*):([^:]*):(.*)$')
    redis.call('HDEL', key('slices', account), period .. ':' .. start)
  else
    redis.call('UNLINK', key(kind, rest))
  end
  redis.call('ZREM', key('generations'), member)
  dropped = dropped + 1
  return true
end

local found = redis.call(
  'ZRANGEBYSCORE', key('generations'), '-inf', digits(highest), 'WITHSCORES', 'LIMIT', passed, most)
for i = 1, #found, 2 do
  if not drop(found[i], tonumber(found[i + 1])) then passed = passed + 1 end
end
return {dropped, #found == 2 * most and passed or -1}
