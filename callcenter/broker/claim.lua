-- A call wants a slot.
-- ARGV: call, prompt, gateway, call_lease_ms, call_record_ms, only_held ('1': answer with the slot
--       that the call already holds, take none), excluded workers...
-- Returns {'claimed', worker, url, epoch, fence, kind}, or {'full', live workers, their slots}.
--
-- Idempotent: a call that holds a slot on a live worker gets the same claim again. Otherwise the
-- rule of placement.py: a worker that has the prompt first, then the one with the fewest free
-- slots, then the lower id.

local call, prompt, now = ARGV[1], ARGV[2], now_ms()
local excluded = {}
for at = 7, #ARGV do excluded[ARGV[at]] = true end

local held = redis.call('HMGET', call_key(call), 'worker', 'epoch', 'fence', 'state')
if held[1] and held[4] == 'held' then
  local id, epoch = held[1], held[2]
  if worker_lives(id, epoch, now) and not excluded[id] then
    redis.call('PEXPIRE', call_key(call), ARGV[5])
    redis.call('ZADD', CALLS, now + ARGV[4], call)
    local w = redis.call('HMGET', worker_key(id), 'url', 'kind')
    return {'claimed', id, w[1], epoch, held[3], w[2]}
  end
end
if ARGV[6] == '1' then return {'full', 0, 0} end
if held[1] then forget_call(call) end

-- Slots of calls whose gateway died are free, whether or not somebody has reaped them.
for _, old in ipairs(expired(CALLS, now, 16)) do forget_call(old) end

local best, best_primed, best_free, slots_total = nil, false, 0, 0
local live = redis.call('ZRANGEBYSCORE', WORKERS, '(' .. now, '+inf')
for _, id in ipairs(live) do
  local w = redis.call('HMGET', worker_key(id), 'slots', 'state', 'primed')
  local slots = tonumber(w[1] or '0')
  local free = slots - redis.call('SCARD', worker_calls_key(id))
  slots_total = slots_total + slots
  if free > 0 and w[2] == 'open' and not excluded[id] then
    local primed = string.find(' ' .. (w[3] or '') .. ' ', ' ' .. prompt .. ' ', 1, true) ~= nil
    local better
    if not best then better = true
    elseif primed ~= best_primed then better = primed
    elseif free ~= best_free then better = free < best_free
    else better = id < best end
    if better then best, best_primed, best_free = id, primed, free end
  end
end
if not best then return {'full', #live, slots_total} end

local w = redis.call('HMGET', worker_key(best), 'url', 'epoch', 'kind')
local fence = redis.call('INCR', FENCE)
put_call(call, best, w[2], fence, ARGV[3], prompt, now, ARGV[4], ARGV[5])
return {'claimed', best, w[1], w[2], tostring(fence), w[3]}
