-- For wrk: wrk ... -s load.lua URL -- (METHOD PATH COUNT TOKEN BODY HEADER)...
-- The requests are sent in turn, each COUNT times, with 1 to COUNT for `{id}` in its path; then from the first again.
-- An empty TOKEN, BODY or HEADER, a `name: value`, is not sent.
-- The result is written to standard error as a line of JSON; latencies are in seconds.

local requests, at = {}, 0

function init(args)
  for first = 1, #args, 6 do
    local method, path, count, token, body, header = unpack(args, first, first + 5)
    local headers = {}
    for name, value in pairs(wrk.headers) do headers[name] = value end
    if token ~= "" then headers["Authorization"] = "Bearer " .. token end
    if body ~= "" then headers["Content-Type"] = "application/json" end
    for name, value in header:gmatch("(.-): (.*)") do headers[name] = value end
    for id = 1, tonumber(count) do
      requests[#requests + 1] = wrk.format(method, (path:gsub("{id}", id)), headers, body ~= "" and body or nil)
    end
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.stderr:write(string.format(
    '{"requests": %d, "seconds": %f, "refused": %d, "broken": %d, "p50": %f, "p99": %f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
