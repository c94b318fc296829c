-- A gateway still carries the call.
-- ARGV: call, fence, lease_ms, record_ms
-- Returns 1, or 0 if this claim is not the call's present one.

local held = redis.call('HMGET', call_key(ARGV[1]), 'fence', 'state')
if held[1] ~= ARGV[2] or held[2] ~= 'held' then return 0 end
redis.call('PEXPIRE', call_key(ARGV[1]), ARGV[4])
redis.call('ZADD', CALLS, now_ms() + ARGV[3], ARGV[1])
return 1
