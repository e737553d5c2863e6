-- Functions shared by the other scripts.

-- The value of a script argument. "@FILE" reads it from a file, so that secrets are not on a command line.
function argument_value(argument)
  if argument:sub(1, 1) ~= "@" then
    return argument
  end
  local file = assert(io.open(argument:sub(2), "r"))
  local content = file:read("*a")
  file:close()
  return content
end

-- Prints the results of a run as one line of JSON.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_us":%d,"p95_us":%d,"p99_us":%d,"max_us":%d,"not_ok":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(95), latency:percentile(99),
    latency.max,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
