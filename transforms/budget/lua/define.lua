#!lua
-- Make accounts or change their limits. Use, pauses and closed states stay as they are.
--
-- KEYS (2): [1] the root's control hash; every other key is built from it by `key` and shares its hash tag
--   [2] a key that never exists (keys.py, `declared`)
-- ARGV: [1] cmsgpack list of [name, unit, parent, limits], limits as in parts/terms.lua   [2] who   [3] why
--   [4] cmsgpack list of {account, version} that must hold, 0 = there is none
-- Reply: how many accounts were made or changed; -1 = an account is at another version, nothing was changed.
-- Writes: per changed account its hash (definition, version), the set of accounts, one audit entry.

--@include keys
--@include terms

if not are_at(cmsgpack.unpack(ARGV[4])) then return -1 end
local changed = 0
for _, spec in ipairs(cmsgpack.unpack(ARGV[1])) do
  local known = terms_of(spec[1])
  local terms = known or {name = spec[1], version = 0, paused = 0}
  local old = known and told(known) or ''
  terms.unit, terms.parent, terms.limits = spec[2], spec[3], spec[4]
  if not known or defined(terms) ~= known.definition then
    redis.call('SADD', key('accounts'), terms.name)
    keep_terms(terms, old, 'define', '', ARGV[2], ARGV[3])
    changed = changed + 1
  end
end
return changed
