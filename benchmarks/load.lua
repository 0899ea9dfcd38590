-- For wrk: wrk ... -s load.lua URL -- METHOD PATH COUNT TOKEN BODY
-- `{id}` in the path becomes 1, 2, ... COUNT, and begins anew. An empty TOKEN or BODY is not sent.
-- What was found is written to standard error as a line of JSON; latencies in seconds.

local requests, at = {}, 0

function init(args)
  local method, path, count, token, body = args[1], args[2], tonumber(args[3]), args[4], args[5]
  if token ~= "" then wrk.headers["Authorization"] = "Bearer " .. token end
  if body ~= "" then wrk.headers["Content-Type"] = "application/json" end
  for id = 1, count do
    requests[id] = wrk.format(method, (path:gsub("{id}", id)), nil, body ~= "" and body or nil)
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
