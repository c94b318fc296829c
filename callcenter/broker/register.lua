-- A worker's process says that it is there.
-- ARGV: worker, epoch, url, slots, kind, model, lease_ms, record_ms
-- Returns 1, or 0 if a newer process has the same worker id.
-- An older process of this worker died with its calls; its calls are forgotten.

local id, epoch = ARGV[1], ARGV[2]
local known = redis.call('HGET', worker_key(id), 'epoch')
if known and tonumber(known) > tonumber(epoch) then return 0 end
if known ~= epoch then forget_worker(id) end
redis.call('HSET', worker_key(id), 'epoch', epoch, 'url', ARGV[3], 'slots', ARGV[4],
  'kind', ARGV[5], 'model', ARGV[6], 'lease_ms', ARGV[7])
redis.call('HSETNX', worker_key(id), 'state', 'open')
redis.call('PEXPIRE', worker_key(id), ARGV[8])
redis.call('ZADD', WORKERS, now_ms() + ARGV[7], id)
return 1
