-- An account's terms, what operators may change of it, and the audit of each change.
--
-- A definition is {unit, parent, limits, paused}: limits = {period, grants, amount, when_full, cooldown_ms, pace}, -1 = no
-- cap, pace = as in parts/pacing.lua or false; paused = 1 or 0. That its total is closed stands in its use, byte 17.

local function terms_of(name)
  local raw = redis.call('HMGET', key('account', name), 'definition', 'version', 'use')
  if not raw[1] then return nil end
  local part = cmsgpack.unpack(raw[1])
  return {
    name = name, unit = part[1], parent = part[2], limits = part[3], paused = part[4], version = tonumber(raw[2]),
    use = raw[3], closed = raw[3] and string.byte(raw[3], 17) == 1, definition = raw[1]}
end

-- Whether each account is at this version, 0 = there is none.
local function are_at(expected)
  for _, one in ipairs(expected) do
    if (tonumber(redis.call('HGET', key('account', one[1]), 'version')) or 0) ~= one[2] then return false end
  end
  return true
end

local function defined(terms)
  return cmsgpack.pack({terms.unit, terms.parent, terms.limits, terms.paused})
end

-- Terms as the audit tells them.
local function told(terms)
  local state = terms.paused == 1 and 'paused' or terms.closed and 'closed' or 'open'
  return cmsgpack.pack({terms.name, terms.unit, terms.parent, terms.limits, state})
end

local function audit(what, account, id, who, why, version, old, new)
  redis.call('XADD', key('audit'), '*', 'what', what, 'account', account, 'id', id, 'who', who, 'why', why,
    'version', digits(version), 'old', old, 'new', new, 'after', redis.call('HGET', KEYS[1], 'newest') or '')
end

-- Keep changed terms as the account's next version.
local function keep_terms(terms, old, what, id, who, why)
  terms.version = terms.version + 1
  redis.call('HSET', key('account', terms.name), 'definition', defined(terms), 'version', digits(terms.version))
  audit(what, terms.name, id, who, why, terms.version, old, told(terms))
end
