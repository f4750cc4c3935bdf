-- Names of keys, and numbers as they are stored. Every key is built here, from the root's control key.

local CAP_LIMIT = 4503599627370496

local prefix = string.match(KEYS[1], '^(.*}:)')

local function key(kind, name)
  if name then return prefix .. kind .. ':' .. name end
  return prefix .. kind
end

local function digits(number)
  return string.format('%.0f', number)
end
