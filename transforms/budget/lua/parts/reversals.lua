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
  local route, whole = route_of(grant.route), grant.taken == grant.amount
  if grant.hold > 0 then note_held(route, part, whole, -1) end
  local budget, limits = string.find(gives, 'budget', 1, true), string.find(gives, 'limits', 1, true)
  if not budget then grant.kept_budget = (grant.kept_budget or 0) + part end
  if not limits then grant.kept_limits = (grant.kept_limits or 0) + part end
  if whole and not (budget and limits and string.find(gives, 'lock', 1, true)) then grant.gave = gives end
  give_back(route, grant.user, part, whole, gives)
end

-- The reversal that waits for a grant, or nil.
local function waiting_in(raw)
  local record = raw and string.byte(raw) ~= GRANTED and cmsgpack.unpack(raw)
  if record and record[1] == WAITING then
    return {x = record[2], y = record[3], gives = record[4], home = record[5], id = record[6], place = record[7]}
  end
end

-- Take the part back for which a reversal has waited: the grant has just been made.
local function take_overtaken(grant, waiting)
  local part = share_of(grant.amount, waiting.x, waiting.y)
  take(grant, part, waiting.gives)
  if part == 0 or grant.outcome == HELD then return end
  local reversal = cmsgpack.unpack(find(group_of('reversal', waiting.home), waiting.id))
  local amounts = {}
  for i = 1, #reversal - 4 do amounts[i] = i == waiting.place and part or 0 end
  bring(reversal[4], extended({REVERSED, 0, 0, sequence, 1}, amounts))
end
