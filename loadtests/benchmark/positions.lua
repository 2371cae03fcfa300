-- Pages after many positions. Arguments: the URL's path and query up to the position, the first position, the number of
-- positions, and the rest of the query.
local before, first, positions, after, requests = "", 0, 1, "", 0

function init(arguments)
  before, first, positions, after = arguments[1], tonumber(arguments[2]), tonumber(arguments[3]), arguments[4]
end

function request()
  requests = requests + 1
  return wrk.format("GET", before .. (first + requests * 37 % positions) .. after)
end
