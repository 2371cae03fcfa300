-- Requests with unique events. Arguments: the number of this run, and the events of a request.
local run, events, thread, count = 0, 1, 0, 0
local threads = 0

function setup(each)
  each:set("thread", threads)
  threads = threads + 1
end

function init(arguments)
  run, events = tonumber(arguments[1]), tonumber(arguments[2])
end

local function event()
  count = count + 1
  local guid = string.format("%08x-%04x-4000-8000-%012x", run, thread, count)
  return string.format('{"id":"%s","source":"https://ttd.apps.example.no/ttd/bench/instances/50000001/%s",'
    .. '"specversion":"1.0","type":"instance.process.completed","subject":"/party/50000001","data":"%s"}',
    guid, guid, string.rep("x", 40))
end

function request()
  if events == 1 then
    return wrk.format("POST", nil, nil, event())
  end
  local texts = {}
  for index = 1, events do
    texts[index] = event()
  end
  return wrk.format("POST", nil, nil, "[" .. table.concat(texts, ",") .. "]")
end
