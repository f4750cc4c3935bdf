#!lua
-- Make accounts or change their limits. Use and closed states stay as they are.
--
-- KEYS (1): [1] the root's control hash; account hashes, the set of accounts and the audit stream share its hash tag
-- ARGV: [1] cmsgpack list of [name, [unit, parent, [[period, grants, amount, when_full, cooldown_ms], ...]]], -1 = none   [2] who
-- Reply: how many accounts were made or changed.
-- Writes: per changed account its hash (definition, version), the set of accounts, one audit entry.

local prefix = string.match(KEYS[1], '^(.*}:)')

local function key(kind, name)
  if name then return prefix .. kind .. ':' .. name end
  return prefix .. kind
end

local now = redis.call('TIME')
local changed = 0
for _, spec in ipairs(cmsgpack.unpack(ARGV[1])) do
  local name, definition = spec[1], cmsgpack.pack(spec[2])
  local account = key('account', name)
  local known = redis.call('HMGET', account, 'definition', 'version')
  if known[1] ~= definition then
    local version = (tonumber(known[2]) or 0) + 1
    redis.call('HSET', account, 'definition', definition, 'version', string.format('%.0f', version))
    redis.call('SADD', key('accounts'), name)
    redis.call('XADD', key('audit'), '*', 'what', 'define', 'account', name, 'who', ARGV[2],
      'old', known[1] or '', 'new', definition, 'version', string.format('%.0f', version), 'second', now[1])
    changed = changed + 1
  end
end
return changed
