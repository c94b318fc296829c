-- A worker's process ends in good order.
-- ARGV: worker, epoch
-- Returns 1, or 0 if another process has its place.

if redis.call('HGET', worker_key(ARGV[1]), 'epoch') ~= ARGV[2] then return 0 end
forget_worker(ARGV[1])
return 1
