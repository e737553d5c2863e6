-- One form, sent by many clients in rotation. Arguments: file of Authorization values, form.
dofile(debug.getinfo(1, "S").source:match("^@(.*)/") .. "/results.lua")

local requests, turn = {}, 0

function init(args)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
  for line in io.lines(args[1]) do
    wrk.headers["Authorization"] = line
    requests[#requests + 1] = wrk.format(nil, nil, nil, args[2])
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
