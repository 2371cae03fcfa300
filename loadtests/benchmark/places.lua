-- Pages that begin at one place after another. Arguments: the URL's path and query up to the position, the first one,
-- how many, what follows the position.
local before, first, places, after, asked = "", 0, 1, "", 0

function init(arguments)
  before, first, places, after = arguments[1], tonumber(arguments[2]), tonumber(arguments[3]), arguments[4]
end

function request()
  asked = asked + 1
  return wrk.format("GET", before .. (first + asked * 37 % places) .. after)
end
