-- Shares without rounding, and how much of a cap its pace has let go by a moment: integers throughout.

local HOUR, DAY = 3600000, 86400000

-- floor(amount * x / y), 0 <= x <= y < 10^14, amount <= 2^52: long division, so many bits of the amount at a time (5, or
-- 16 where y is below 2^36) that no number passes 2^53.
local function share_of(amount, x, y)
  local base, rounds, unit = 32, 11, 1125899906842624
  if y < 68719476736 then base, rounds, unit = 65536, 4, 281474976710656 end
  local quotient, rest = 0, 0
  for _ = 1, rounds do
    local digit = math.floor(amount / unit)
    amount, unit = amount - digit * unit, unit / base
    local dividend = rest * base + digit * x
    rest = math.fmod(dividend, y)
    quotient = quotient * base + (dividend - rest) / y
  end
  return quotient
end

-- The local time of an instant that never goes back: an hour that is repeated stands still.
local function local_time(offsets, time)
  local latest = -math.huge
  for i, piece in ipairs(offsets) do
    if i > 1 and piece[1] > time then break end
    local following = offsets[i + 1]
    latest = math.max(latest, (following and math.min(following[1], time) or time) + piece[2])
  end
  return latest
end

-- What the first parts of the weights add up to: before[i] = of all before part i.
local function sums(weights)
  local before, sum = {}, 0
  for i, weight in ipairs(weights) do before[i], sum = sum, sum + weight end
  return before, sum
end

-- Weights that have passed by a local time since the first day's start, times an hour.
local function passed(pace, at)
  local day = math.floor((at - pace.first_day) / DAY)
  local rest = at - pace.first_day - day * DAY
  local hour = math.floor(rest / HOUR)
  return (day * pace.sum + pace.before[hour + 1]) * HOUR + pace.weights[hour + 1] * (rest - hour * HOUR)
end

-- wire: a Pace of schemas/proposals.py: {shape, start, end, head start, weights, offsets, zone}.
local function read_pace(wire)
  local pace = {start = wire[2], stop = wire[3], head = wire[4], weights = wire[5], offsets = wire[6]}
  pace.before, pace.sum = sums(pace.weights)
  if #pace.offsets > 0 then
    local start = local_time(pace.offsets, pace.start)
    pace.first_day = start - start % DAY
    pace.from = passed(pace, start)
    pace.whole = passed(pace, local_time(pace.offsets, pace.stop)) - pace.from
  else
    pace.whole = pace.sum * (pace.stop - pace.start)
  end
  return pace
end

-- What a cap of so much lets go by a moment of event time.
local function paced_cap(pace, cap, time)
  if time >= pace.stop then return cap end
  if time < pace.start then return math.min(cap, pace.head) end
  local done
  if pace.from then
    done = passed(pace, local_time(pace.offsets, time)) - pace.from
  else
    local span, parts = pace.stop - pace.start, #pace.weights * (time - pace.start)
    local part = math.floor(parts / span)
    done = pace.before[part + 1] * span + pace.weights[part + 1] * (parts - part * span)
  end
  return math.min(cap, share_of(cap, done, pace.whole) + pace.head)
end
