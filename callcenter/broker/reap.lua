-- Forgets what nobody has kept alive: workers whose lease ran out, with their calls, and calls
-- whose gateway stopped renewing. ARGV: how many of each at most.
-- Returns {workers, calls}: the ids that were forgotten.

local now = now_ms()
local workers = expired(WORKERS, now, ARGV[1])
for _, id in ipairs(workers) do forget_worker(id) end
local calls = expired(CALLS, now, ARGV[1])
for _, id in ipairs(calls) do forget_call(id) end
return {workers, calls}
