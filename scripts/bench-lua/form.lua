-- The same form again and again. Arguments: Authorization value (empty: none), form; each may be "@FILE".
dofile(debug.getinfo(1, "S").source:match("^@(.*)/") .. "/figures.lua")

local fixed

function init(args)
  wrk.method = "POST"
  local authorization = given(args[1])
  if authorization ~= "" then
    wrk.headers["Authorization"] = authorization
  end
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
  fixed = wrk.format(nil, nil, nil, given(args[2]))
end

function request()
  return fixed
end
