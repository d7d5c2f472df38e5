-- GET one of the paths in a file: arguments are a file with the API key, and the file of paths.
require "common"

local paths, headers

function init(arguments)
  headers = { ["Authorization"] = "Api-Key " .. lines_of(arguments[1])[1] }
  paths = lines_of(arguments[2])
end

function request()
  return wrk.format("GET", paths[math.random(#paths)], headers)
end
