-- Holds: kept under a number as {ends, offer, proposal, member, home, id, ...}, and in the set of what is due as
-- member = the packed OrderKey of their end, the number; all with score 0, so that they sort by their bytes.

local RELEASES, BY_DUE = 0, 2

local hold_count, holds = tonumber(control[4]) or 0, {}
local agenda, upcoming = {}, 1

local function read_due(until_time, most)
  local found = redis.call('ZRANGEBYLEX', key('due'), '-', '(' .. packed_time(until_time + 1), 'LIMIT', 0, most)
  for i, member in ipairs(found) do agenda[i] = member end
end

local function number_in(member)
  return (struct.unpack('>I6', string.sub(member, -6)))
end

local function hold_of(number)
  if holds[number] == nil then
    local part = cmsgpack.unpack(redis.call('HGET', key('holds'), digits(number)))
    holds[number] = {ends = part[1], offer = part[2], proposal = part[3], member = part[4], grants = {unpack(part, 5)}}
  end
  return holds[number]
end

-- grants = home, id, ... of the offer that is held.
local function hold(ends, offer, proposal, due, grants)
  hold_count = hold_count + 1
  local member = due .. struct.pack('>I6', hold_count)
  holds[hold_count] = {ends = ends, offer = offer, proposal = proposal, member = member, grants = grants, fresh = true}
  local place = #agenda + 1
  while place > upcoming and before(member, agenda[place - 1]) do place = place - 1 end
  table.insert(agenda, place, member)
  return hold_count
end

local function stands(number)
  local grants = hold_of(number).grants
  for i = 1, #grants, 2 do
    local grant = read_grant(find(group_of('record', grants[i]), grants[i + 1]))
    if grant.taken < grant.amount then return true end
  end
  return false
end

-- Bring a hold to its end: what still stands of it is granted, or given back. ended: by what, none = nothing was left of it.
local function finish_hold(number, ended)
  local held = hold_of(number)
  local grants, amounts, outcome = {}, {}, RELEASED
  for i = 1, #held.grants, 2 do
    local grant = read_grant(find(group_of('record', held.grants[i]), held.grants[i + 1]))
    if held.ends == RELEASES then take(grant, grant.amount - grant.taken, EVERYTHING) end
    local amount = grant.amount - grant.taken
    grants[#grants + 1], amounts[#amounts + 1] = grant, amount
    if amount > 0 then
      outcome = COMMITTED
      note_held(route_of(grant.route), amount, true, -1)
    end
  end
  for i, grant in ipairs(grants) do
    grant.outcome, grant.told, grant.entry, grant.hold, grant.ended = outcome, amounts[i], sequence, 0, ended
    keep_grant(group_of('record', held.grants[2 * i - 1]), held.grants[2 * i], grant)
  end
  held.ended = true
  bring(held.proposal, {outcome, 0, 0, sequence, 1, held.offer, unpack(amounts)})
end

local function finish_due(until_time)
  while agenda[upcoming] and time_of(agenda[upcoming]) <= until_time do
    local number = number_in(agenda[upcoming])
    upcoming = upcoming + 1
    if not (holds[number] and holds[number].ended) then finish_hold(number, BY_DUE) end
  end
end

-- How many holds stand in each group of records: it is not dropped while one does.
local function note_standing(held, change)
  for i = 1, #held.grants, 2 do
    if redis.call('HINCRBY', key('held'), held.grants[i], change) == 0 then
      redis.call('HDEL', key('held'), held.grants[i])
    end
  end
end

local function save_holds()
  for number, held in pairs(holds) do
    if held.ended and not held.fresh then
      note_standing(held, -1)
      redis.call('HDEL', key('holds'), digits(number))
      redis.call('ZREM', key('due'), held.member)
    elseif held.fresh and not held.ended then
      local packed = cmsgpack.pack({held.ends, held.offer, held.proposal, held.member, unpack(held.grants)})
      redis.call('HSET', key('holds'), digits(number), packed)
      redis.call('ZADD', key('due'), 0, held.member)
      note_standing(held, 1)
    end
  end
  if hold_count > (tonumber(control[4]) or 0) then redis.call('HSET', KEYS[1], 'holds', digits(hold_count)) end
end
