-- Taking back: shares without rounding, parts of grants and holds, and reversals that wait for their grants.

-- floor(amount * x / y), 0 <= x <= y < 10^14, amount < 10^14: long division, five bits of the amount at a time, so that
-- no number passes 2^53.
local function share_of(amount, x, y)
  local quotient, rest, unit = 0, 0, 35184372088832
  for _ = 1, 10 do
    local digit = math.floor(amount / unit)
    amount, unit = amount - digit * unit, unit / 32
    local dividend = rest * 32 + digit * x
    rest = math.fmod(dividend, y)
    quotient = quotient * 32 + (dividend - rest) / y
  end
  return quotient
end

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
  give_back(route_of(grant.route), grant.user, part, grant.taken == grant.amount, gives)
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
