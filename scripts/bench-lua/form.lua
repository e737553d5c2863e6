-- One form, sent repeatedly. Arguments: Authorization value (empty: no header), form; each may be "@FILE".
dofile(debug.getinfo(1, "S").source:match("^@(.*)/") .. "/results.lua")

local fixed

function init(args)
  wrk.method = "POST"
  local authorization = argument_value(args[1])
  if authorization ~= "" then
    wrk.headers["Authorization"] = authorization
  end
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
  fixed = wrk.format(nil, nil, nil, argument_value(args[2]))
end

function request()
  return fixed
end
