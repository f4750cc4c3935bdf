-- Workers' marks: of each the log entry that it was last answered, so that a server which lost it is found out.
--
-- KEYS [2] the hash of marks, only where the deployment keeps them; the last two of ARGV: the worker, its last entry.

local mark = 0

-- The worker was answered by an entry that the root does not know it had: the root freezes, and the error to reply.
-- The mark is then kept as the worker has it: one loss freezes once per worker.
local function lost_writes()
  if not KEYS[2] then return nil end
  local worker, answered = ARGV[#ARGV - 1], tonumber(ARGV[#ARGV])
  mark = tonumber(redis.call('HGET', KEYS[2], worker)) or 0
  if mark >= answered then return nil end
  local why = 'writes were lost: a worker was answered by log entry ' .. digits(answered) ..
    ', and here its last one is ' .. digits(mark) .. '; incentives ledger restore'
  redis.call('HSET', KEYS[2], worker, digits(answered))
  redis.call('HSET', KEYS[1], 'frozen', why)
  redis.call('XADD', key('audit'), '*', 'what', 'freeze', 'account', '', 'id', '', 'who', 'ledger', 'why', why,
    'version', '0', 'old', '', 'new', '', 'after', control[2] or '')
  return redis.error_reply('ROLLBACK ' .. why)
end

-- Keep the mark with every call, a repeated one too: `strict` waits until a replica has this write.
local function with_mark(told)
  if KEYS[2] then redis.call('HSET', KEYS[2], ARGV[#ARGV - 1], told[1] == '0' and digits(mark) or told[1]) end
  return told
end
