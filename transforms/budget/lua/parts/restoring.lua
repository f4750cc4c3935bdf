-- Restoring: what was decided elsewhere stands here too, whatever the caps and the accounts' states say now.
--
-- restored: {floor, told}: log entries are numbered above the floor; told per grant of the call = its amount; or the
--   refusal {reason, account, period, use, cap} of its proposal; or false = of an offer that was passed over.

if restored then
  sequence = math.max(sequence, restored[1] + 1)
  local told = restored[2]

  fits_whole = function() return false end

  charge = function(first, n, time)
    if type(told[first]) ~= 'number' then return nil, told[first] or {} end
    local amounts = {}
    for j = 1, n do
      local i = first + j - 1
      amounts[j] = told[i]
      move(compiled[g_route[i]], users[g_user[i]], told[i], 1, campaigns[g_home[i]])
      cool(compiled[g_route[i]], users[g_user[i]], time)
    end
    return amounts
  end

  -- What was approved, and may have left, stands before a refusal that came after the loss.
  for i, id in ipairs(grant_ids) do
    local at = records[g_home[i]].at
    if type(told[i]) == 'number' and at[id] and read_grant(at[id]).outcome == DENIED then at[id] = false end
  end
end
