#!lua
-- Bring the holds that are due by an instant to their end, the oldest first.
--
-- KEYS: as in decide.lua
-- ARGV: [1] the instant, ms since the epoch   [2] the packed OrderKey of that instant   [3] how many holds at most
--   [4] no requests, packed
-- Reply: as of decide.lua, without answers: {entry or "0", empty list, cmsgpack list of {0, answer}, packed proposals};
--   the last two only if there are any
-- Reply FROZEN or ROLLBACK (errors): nothing ends.
-- Writes: as decide.lua, for what ended; always that the root has seen the instant.

--@include keys
--@include pacing
--@include accounts
--@include limits
--@include records
--@include log
--@include reversals
--@include holds
--@include marks

local lost = FROZEN or lost_writes()
if lost then return lost end

read_due(tonumber(ARGV[1]), tonumber(ARGV[3]))
finish_due(tonumber(ARGV[1]))
save_accounts()
save_records()
save_holds()
return with_mark(finish('mature', ARGV[2], ARGV[4], {}, false))
