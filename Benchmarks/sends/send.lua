-- wrk script: each request sends one mail for a user drawn at random, so that no mailbox is asked for two at once often.
-- Environment: BENCH_KEY (bearer credential), BENCH_USERS (how many users "bench-0" … are connected); BENCH_IN_TURN: the
-- users in turn, from BENCH_FIRST by BENCH_STRIDE, so that no mailbox is asked for two at once at all; BENCH_COUNT: end
-- after so many answers; BENCH_SEND_AT: bulk mail for that time.
local function number(name) return tonumber(os.getenv(name) or "") or 0 end

local users, count = number("BENCH_USERS"), number("BENCH_COUNT")
local in_turn, stride = os.getenv("BENCH_IN_TURN"), math.max(1, number("BENCH_STRIDE"))
local next_user = number("BENCH_FIRST")
local send_at = os.getenv("BENCH_SEND_AT") or ""
local headers = {
  ["Content-Type"] = "application/json",
  ["Authorization"] = "Bearer " .. os.getenv("BENCH_KEY"),
}
local later = send_at ~= "" and '"priority":"bulk","send_at":"' .. send_at .. '",' or ""
local expected = send_at ~= "" and 202 or 200
local body = '{' .. later .. '"to":["ada@example.com"],"subject":"Quarterly figures","body":"'
  .. string.rep("Dear Ada, here they are. ", 20) .. '"}'

local threads = {}
function setup(thread)
  thread:set("seed", os.time() + #threads)
  table.insert(threads, thread)
end

function init(args)
  math.randomseed(seed)
  failures, answers = 0, 0
end

function request()
  local user = next_user % users
  if in_turn then next_user = next_user + stride else user = math.random(0, users - 1) end
  return wrk.format("POST", "/v1/users/bench-" .. user .. "/messages", headers, body)
end

function response(status, headers, body)
  answers = answers + 1
  if status ~= expected then
    failures = failures + 1
    if failures <= 3 then io.stderr:write("status " .. status .. ": " .. body:sub(1, 300) .. "\n") end
  end
  if count > 0 and answers >= count then
    -- wrk itself knows no end but its duration's.
    io.write(string.format('{"requests":%d,"failed":%d,"seconds":0}\n', answers, failures))
    io.stdout:flush()
    os.exit(0)
  end
end

function done(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  for _, thread in ipairs(threads) do failed = failed + thread:get("failures") end
  io.write(string.format('{"requests":%d,"failed":%d,"seconds":%.3f,"p50_ms":%.2f,"p99_ms":%.2f}\n',
    summary.requests, failed, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
