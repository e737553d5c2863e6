-- One token of a file per request. Arguments: Authorization value (empty: no header), token file, "once" or "again", and the
-- form before the token; the first and the last may be "@FILE".
-- "once" reads through the file, so that no token is sent twice, and requires tokens of equal length;
-- "again" sends the tokens in rotation, from memory.
dofile(debug.getinfo(1, "S").source:match("^@(.*)/") .. "/results.lua")

local lines, prefix, requests
local turn = 0

function init(args)
  local file = assert(io.open(args[2], "r"))
  local first = assert(file:read("*l"), "the token file is empty")
  wrk.method = "POST"
  local authorization, form = argument_value(args[1]), argument_value(args[4] or "token=")
  if authorization ~= "" then
    wrk.headers["Authorization"] = authorization
  end
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
  local whole = wrk.format(nil, nil, nil, form .. first)
  prefix = whole:sub(1, #whole - #first)
  if args[3] == "again" then
    requests = {whole}
    for line in file:lines() do
      requests[#requests + 1] = wrk.format(nil, nil, nil, form .. line)
    end
  else
    lines = file:lines()
  end
end

function request()
  if requests then
    turn = turn % #requests + 1
    return requests[turn]
  end
  local line = lines()
  if not line then
    -- Incomplete: the server returns a 4xx, which invalidates the measurement.
    return prefix
  end
  return prefix .. line
end
