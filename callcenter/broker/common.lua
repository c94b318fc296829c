-- Shared by all scripts: put in front of each before it is loaded.
-- KEYS[1] is the pool's prefix with its hash tag; keys.py lists what is appended to it.

local P = KEYS[1]
local WORKERS, CALLS, FENCE = P .. ':workers', P .. ':calls', P .. ':fence'

-- Redis's own clock: no two machines have to agree on the time.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function worker_key(id) return P .. ':w:' .. id end
local function worker_calls_key(id) return P .. ':wc:' .. id end
local function call_key(id) return P .. ':c:' .. id end

-- Does this process of the worker still hold its lease?
local function worker_lives(id, epoch, now)
  local expiry = redis.call('ZSCORE', WORKERS, id)
  return expiry and tonumber(expiry) > now
    and redis.call('HGET', worker_key(id), 'epoch') == epoch
end

local function forget_call(id)
  local worker = redis.call('HGET', call_key(id), 'worker')
  if worker then redis.call('SREM', worker_calls_key(worker), id) end
  redis.call('DEL', call_key(id))
  redis.call('ZREM', CALLS, id)
end

local function forget_worker(id)
  for _, call in ipairs(redis.call('SMEMBERS', worker_calls_key(id))) do forget_call(call) end
  redis.call('DEL', worker_key(id), worker_calls_key(id))
  redis.call('ZREM', WORKERS, id)
end

local function put_call(id, worker, epoch, fence, gateway, prompt, now, lease_ms, record_ms)
  redis.call('HSET', call_key(id), 'worker', worker, 'epoch', epoch, 'fence', fence,
    'gateway', gateway, 'prompt', prompt, 'state', 'held')
  redis.call('PEXPIRE', call_key(id), record_ms)
  redis.call('ZADD', CALLS, now + lease_ms, id)
  redis.call('SADD', worker_calls_key(worker), id)
end

-- At most `limit` of the ids in a lease table whose time is up.
local function expired(leases, now, limit)
  return redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, limit)
end
