-- wrk script: each request sends one mail for a user drawn at random, so that no mailbox is asked for two at once often.
-- Environment: BENCH_KEY (bearer credential), BENCH_USERS (how many users "bench-0" … are connected); BENCH_IN_TURN: the
-- users in turn, so that no mailbox is asked for two at once at all.
local users = tonumber(os.getenv("BENCH_USERS"))
local in_turn = os.getenv("BENCH_IN_TURN")
local last = 0
local headers = {
  ["Content-Type"] = "application/json",
  ["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY"),
}
local body = '{"to":["ada@example.com"],"subject":"Quarterly figures","body":"' .. string.rep("Dear Ada, here they are. ", 20) .. '"}'

local threads = 0
function setup(thread)
  thread:set("seed", os.time() + threads)
  threads = threads + 1
end

function init(args)
  math.randomseed(seed)
  failures = 0
end

function request()
  last = in_turn and (last + 1) % users or math.random(0, users - 1)
  return wrk.format("POST", "/v1/users/bench-" .. last .. "/messages", headers, body)
end

function response(status, headers, body)
  if status ~= 200 then
    failures = failures + 1
    if failures <= 3 then io.stderr:write("status " .. status .. ": " .. body:sub(1, 300) .. "\n") end
  end
end

function done(summary, latency, requests)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('{"requests":%d,"failed":%d,"seconds":%.3f,"p50_ms":%.2f,"p99_ms":%.2f}\n',
    summary.requests, failed, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
