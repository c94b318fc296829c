-- A worker lives, and says which sessions it holds.
-- ARGV: worker, epoch, state, primed (hashes between blanks), tick_p99_ms,
--       worker_lease_ms, worker_record_ms, call_lease_ms, call_record_ms, {call, fence, prompt}...
-- Returns 'unknown' if the worker has to register (again), 'drain' if somebody wants it to drain,
-- else 'known'.
--
-- The worker is the authority on its sessions. Leases of the calls it holds are renewed; calls that
-- Redis has forgotten (it was restarted, or the worker was cut off for longer than its lease) are
-- written down again, and the counter of fencing tokens is lifted above all that are in use.

local id, epoch, now = ARGV[1], ARGV[2], now_ms()
if redis.call('HGET', worker_key(id), 'epoch') ~= epoch then return 'unknown' end
redis.call('HSET', worker_key(id), 'primed', ARGV[4], 'tick_p99_ms', ARGV[5])
if ARGV[3] == 'draining' then redis.call('HSET', worker_key(id), 'state', 'draining') end
redis.call('PEXPIRE', worker_key(id), ARGV[7])
redis.call('ZADD', WORKERS, now + ARGV[6], id)

-- A record that Redis let expire holds no slot.
for _, call in ipairs(redis.call('SMEMBERS', worker_calls_key(id))) do
  if redis.call('EXISTS', call_key(call)) == 0 then
    redis.call('SREM', worker_calls_key(id), call)
  end
end

local highest = tonumber(redis.call('GET', FENCE) or '0')
for at = 10, #ARGV, 3 do
  local call, fence, prompt = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if tonumber(fence) > highest then
    highest = tonumber(fence)
    redis.call('SET', FENCE, fence)
  end
  local held = redis.call('HMGET', call_key(call), 'worker', 'fence', 'state', 'gateway')
  -- A call that moved to another worker, was claimed anew or released is not ours to write.
  if not held[1] or (held[1] == id and held[2] == fence and held[3] == 'held') then
    put_call(call, id, epoch, fence, held[4] or '', prompt, now, ARGV[8], ARGV[9])
  end
end
if redis.call('HGET', worker_key(id), 'state') == 'draining' then return 'drain' end
return 'known'
