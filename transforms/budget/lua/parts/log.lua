-- What the call brought about beside its answers, and the write phase.

local answering, brought, causes = 0, {}, {}

-- While the given request is answered: another request, as the client packed it, got an answer.
local function bring(cause, answer)
  brought[#brought + 1] = {answering, answer}
  causes[#causes + 1] = cause
end

-- Byte order: Lua's own comparison of texts follows the server's locale.
local function before(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then return a < b end
  end
  return #one < #other
end

-- A packed OrderKey starts with its time + 2^63, 8 bytes.
local function time_of(packed)
  local high, low = struct.unpack('>I4I4', packed)
  return (high - 2147483648) * 4294967296 + low
end

local function packed_time(time)
  return struct.pack('>I4I4', math.floor(time / 4294967296) + 2147483648, time % 4294967296)
end

local seen = control[2] and time_of(control[2]) or -math.huge

-- A list of packed requests is a header and they themselves: nothing is decoded here.
local function listed(packed)
  return '\220' .. struct.pack('>I2', #packed) .. table.concat(packed)
end

local function finish(kind, newest, requests, reply, is_fresh)
  if not control[2] or before(control[2], newest) then redis.call('HSET', KEYS[1], 'newest', newest) end
  local answers = cmsgpack.pack(reply)
  if not is_fresh and #brought == 0 then return {'0', answers} end
  local now = redis.call('TIME')
  local entry = digits(sequence)
  local fields = {
    'kind', kind, 'ms', digits(now[1] * 1000 + math.floor(now[2] / 1000)), 'requests', requests, 'answers', answers}
  local told = {entry, answers}
  if #brought > 0 then
    told[3], told[4] = cmsgpack.pack(brought), listed(causes)
    for _, field in ipairs({'brought', told[3], 'causes', told[4]}) do fields[#fields + 1] = field end
  end
  redis.call('HSET', KEYS[1], 'sequence', entry)
  redis.call('XADD', key('log'), entry .. '-0', unpack(fields))
  redis.call('ZADD', key('unpublished'), entry, entry)
  return told
end
