-- PATCH /api/v1/orders/{id}/payment: arguments are threads, a file with the API key, and one of "id total" lines.
-- Each thread pays for orders of its own, each once; a thread that has none left asks for what does not exist.
require "common"

local threads, orders, headers, paid

function init(arguments)
  threads, orders, paid = tonumber(arguments[1]), lines_of(arguments[3]), 0
  headers = {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Api-Key " .. lines_of(arguments[2])[1],
  }
end

function request()
  local order = orders[number + threads * paid] or "- 0"
  paid = paid + 1
  local id, total = order:match("(%S+) (%S+)")
  return wrk.format("PATCH", "/api/v1/orders/" .. id .. "/payment", headers,
    '{"provider":"bank","reference":"TX-' .. id .. '","amount":"' .. total .. '"}')
end
