-- Workers' marks: of each the log entry that it was last answered, so that a server which lost it is found out.
--
-- KEYS [3] the hash of marks, only where the deployment keeps them; the last two of ARGV: the worker, its last entry.

local mark = 0

-- The worker was answered by an entry that the root does not know it had: the root freezes, and the error to reply.
-- The mark is then kept as the worker has it: one loss freezes once per worker. The audit is the operators': who makes
-- decisions cannot write it, so why and when stand in the reason.
local function lost_writes()
  if not KEYS[3] then return nil end
  local worker, answered = ARGV[#ARGV - 1], tonumber(ARGV[#ARGV])
  mark = tonumber(redis.call('HGET', KEYS[3], worker)) or 0
  if mark >= answered then return nil end
  local why = 'writes were lost: a worker was answered by log entry ' .. digits(answered) ..
    ', and here its last one is ' .. digits(mark) .. ' (server time ' .. redis.call('TIME')[1] .. ')'
  redis.call('HSET', KEYS[3], worker, digits(answered))
  redis.call('HSET', KEYS[1], 'frozen', why)
  return redis.error_reply('ROLLBACK ' .. why)
end

-- Keep the mark with every call, a repeated one too: `strict` waits until a replica has this write.
local function with_mark(told)
  if KEYS[3] then redis.call('HSET', KEYS[3], ARGV[#ARGV - 1], told[1] == '0' and digits(mark) or told[1]) end
  return told
end
