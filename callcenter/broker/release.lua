-- A call is over.
-- ARGV: call, fence, tombstone_ms
-- Returns 1, or 0 if this claim is not the call's present one (then nothing changes).
-- The record stays for a moment as 'released': a heartbeat that left the worker before it noticed
-- the end would otherwise bring the call back.

local call = ARGV[1]
local held = redis.call('HMGET', call_key(call), 'fence', 'state', 'worker')
if held[1] ~= ARGV[2] or held[2] ~= 'held' then return 0 end
redis.call('SREM', worker_calls_key(held[3]), call)
redis.call('ZREM', CALLS, call)
redis.call('HSET', call_key(call), 'state', 'released')
redis.call('PEXPIRE', call_key(call), ARGV[3])
return 1
