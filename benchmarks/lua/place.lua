-- POST /api/v1/orders: arguments are the run's number, a file of API keys, SKUs, and lines of an order.
require "common"

local keys, headers

function init(arguments)
  keys = lines_of(arguments[2])
  headers = { ["Content-Type"] = "application/json" }
  prepare_orders(arguments[1], arguments[3], arguments[4])
end

function request()
  local key, order = new_order()
  headers["Authorization"] = "Api-Key " .. keys[math.random(#keys)]
  headers["Idempotency-Key"] = key
  return wrk.format("POST", nil, headers, "{" .. order .. "}")
end
