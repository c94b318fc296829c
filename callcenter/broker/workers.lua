-- Returns one row a live worker:
-- {worker, url, epoch, slots, calls, kind, model, state, primed, tick_p99_ms, ms since heartbeat}

local now, rows = now_ms(), {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '(' .. now, '+inf')) do
  local w = redis.call('HMGET', worker_key(id),
    'url', 'epoch', 'slots', 'kind', 'model', 'state', 'primed', 'tick_p99_ms', 'lease_ms')
  if w[2] then
    local age = (tonumber(w[9] or 0) or 0) - (tonumber(redis.call('ZSCORE', WORKERS, id)) - now)
    rows[#rows + 1] = {id, w[1], w[2], w[3], redis.call('SCARD', worker_calls_key(id)),
      w[4], w[5], w[6], w[7] or '', w[8] or '0', math.floor(age)}
  end
end
return rows
