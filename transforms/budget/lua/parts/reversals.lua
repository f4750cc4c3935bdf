-- Taking back: parts of grants and holds, and reversals that wait for their grants.

-- one * other as two numbers, high * 2^48 + low; both below 2^48.
local function product(one, other)
  local one_low, other_low = one % 16777216, other % 16777216
  local one_high, other_high = (one - one_low) / 16777216, (other - other_low) / 16777216
  local middle = one_high * other_low + one_low * other_high
  local low = one_low * other_low + (middle % 16777216) * 16777216
  local high = one_high * other_high + math.floor(middle / 16777216) + math.floor(low / 281474976710656)
  return high, low % 281474976710656
end

-- Whether x / y > other_x / other_y.
local function is_greater(x, y, other_x, other_y)
  local high, low = product(x, other_y)
  local other_high, other_low = product(other_x, y)
  return high > other_high or (high == other_high and low > other_low)
end

local function take(grant, part, gives)
  if part == 0 then return end
  grant.taken = grant.taken + part
  local route, left = route_of(grant.route), grant.amount - grant.taken
  if grant.hold > 0 then note_held(route, part, left == 0, -1, left) end
  local kept_budget, kept_limits = grant.kept_budget or 0, grant.kept_limits or 0
  give_back(route, grant.user, part, left == 0, gives, left + kept_budget, left + kept_limits)
  if not string.find(gives, 'budget', 1, true) then grant.kept_budget = kept_budget + part end
  if not string.find(gives, 'limits', 1, true) then grant.kept_limits = kept_limits + part end
end

-- The reversal that waits for a grant, or nil.
local function waiting_in(raw)
  local record = raw and string.byte(raw) ~= GRANTED and cmsgpack.unpack(raw)
  if record and record[1] == WAITING then
    return {x = record[2], y = record[3], gives = record[4], home = record[5], id = record[6], place = record[7]}
  end
end

-- Take the part back for which a reversal has waited: the grant has just been made. A part is forgotten with its reversal.
local function take_overtaken(grant, waiting)
  if group_of('reversal', waiting.home).dropped then return end
  local part = share_of(grant.amount, waiting.x, waiting.y)
  take(grant, part, waiting.gives)
  if part == 0 or grant.outcome == HELD then return end
  local reversal = cmsgpack.unpack(find(group_of('reversal', waiting.home), waiting.id))
  local amounts = {}
  for i = 1, #reversal - 4 do amounts[i] = i == waiting.place and part or 0 end
  bring(reversal[4], extended({REVERSED, 0, 0, sequence, 1}, amounts))
end
