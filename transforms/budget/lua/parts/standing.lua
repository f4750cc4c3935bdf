-- A grant that was approved as it stands, and the course of an operation on it.

local BY_OPERATOR, COMMITS = 1, 1
local NO_REQUESTS = '\144'

local home_group, grant_id = group_of('record', given(6) .. ':' .. given(7)), given(8)

local function current()
  if home_group.dropped then return nil end
  local raw = find(home_group, grant_id)
  return raw and read_grant(raw)
end

local function state_of(grant)
  return {grant.outcome, grant.user, grant.asked, grant.amount, grant.taken, grant.entry, grant.ended}
end

-- Why a hold cannot be ended by hand any more; nil if it can.
local function ended_already(grant)
  if grant.hold > 0 then return nil end
  if grant.ended == BY_DUE then return IS.DUE end
  return grant.outcome == COMMITTED and IS.ALREADY_COMMITTED or IS.ALREADY_RELEASED
end

local function was_held(grant)
  return grant.outcome ~= GRANTED
end

-- End the hold of a grant by hand.
local function end_by_hand(grant, ends)
  hold_of(grant.hold).ends = ends
  finish_hold(grant.hold, BY_OPERATOR)
end

-- After the holds that are due: refuse the operation, or do it; refused(grant) tells why not, act(grant) does it.
local function operate(refused, act)
  if control[2] then
    read_due(seen, -1)
    finish_due(seen)
  end
  local grant, outcome, became, amount, entry = current(), nil, 0, 0, 0
  local old
  if not grant or grant.outcome == WAITING then
    outcome = IS.UNKNOWN
  elseif grant.outcome == DENIED then
    outcome, became = IS.DENIED, DENIED
  else
    outcome = refused(grant)
    if not outcome then
      old, outcome, entry = state_of(grant), IS.APPLIED, sequence
      act(grant)
      grant = current()
    end
    became, amount = grant.outcome, grant.amount - grant.taken
  end
  save_accounts()
  save_records()
  save_holds()
  if #brought > 0 then finish(given(3), control[2], NO_REQUESTS, {}, false) end
  if old then audit_grant(old, state_of(grant)) end
  return answer(outcome, became, amount, entry)
end

local function is_amount(number, least)
  return number == least or valid(number)
end
