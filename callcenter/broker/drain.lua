-- A worker gets no new call, and learns of it with its next heartbeat; those it has go on.
-- ARGV: worker
-- Returns 1, or 0 if nobody knows the worker.

if redis.call('EXISTS', worker_key(ARGV[1])) == 0 then return 0 end
redis.call('HSET', worker_key(ARGV[1]), 'state', 'draining')
return 1
