-- One token of a file a request. Arguments: Authorization value (empty: none), file of tokens, "once" or "again", and what
-- is before the token in the form; the first and the last may be "@FILE".
-- "once" reads on through the file, so that no token is asked about twice, and wants tokens of one length;
-- "again" goes round the tokens in memory.
dofile(debug.getinfo(1, "S").source:match("^@(.*)/") .. "/figures.lua")

local lines, before, requests
local turn = 0

function init(args)
  local file = assert(io.open(args[2], "r"))
  local first = assert(file:read("*l"), "the file holds no token")
  wrk.method = "POST"
  local authorization, form = given(args[1]), given(args[4] or "token=")
  if authorization ~= "" then
    wrk.headers["Authorization"] = authorization
  end
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
  local whole = wrk.format(nil, nil, nil, form .. first)
  before = whole:sub(1, #whole - #first)
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
    -- Answered with a 4xx, so that the run is not counted.
    return before
  end
  return before .. line
end
