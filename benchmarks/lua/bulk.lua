-- POST /api/v1/orders/bulk: arguments are the run's number, a file with the API key, SKUs, orders of a request.
require "common"

local headers, size

function init(arguments)
  headers = {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Api-Key " .. lines_of(arguments[2])[1],
  }
  size = tonumber(arguments[4])
  prepare_orders(arguments[1], arguments[3], 1)
end

function request()
  local orders = {}
  for index = 1, size do
    local key, order = new_order()
    orders[index] = '{"idempotency_key":"' .. key .. '",' .. order .. "}"
  end
  return wrk.format("POST", nil, headers, '{"orders":[' .. table.concat(orders, ",") .. "]}")
end
