-- What the scripts share. Every thread of wrk has a state of its own, told apart by `number`.

local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

-- One line of JSON is all that benchmarks/load.py reads.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"answers": %d, "microseconds": %d, "refused": %d, "broken": %d, "p50": %d, "p99": %d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end

function lines_of(path)
  local lines = {}
  for line in io.lines(path) do
    lines[#lines + 1] = line
  end
  return lines
end

-- The orders of one run: told of once in `init`, they are asked for one by one. A buyer in five is new.
local run, skus, lines, sent

function prepare_orders(of_run, of_skus, of_lines)
  run, skus, lines, sent = of_run, tonumber(of_skus), tonumber(of_lines), 0
  math.randomseed(tonumber(run) * 100 + number)
end

-- A new order's key, and what is asked for between the braces of its JSON.
function new_order()
  sent = sent + 1
  local key = run .. "-" .. number .. "-" .. sent
  local first, items = math.random(skus), {}
  for line = 1, lines do
    items[line] = '{"sku":"SKU-' .. (first + line) % skus + 1 .. '","quantity":1}'
  end
  local phone
  if math.random(5) == 1 then
    phone = string.format("+4478%08d", math.random(0, 99999999))
  else
    phone = string.format("+447700%06d", math.random(10000))
  end
  return key, '"channel":"website","external_id":"' .. key
    .. '","customer":{"name":"Buyer ' .. key .. '","phone":"' .. phone
    .. '"},"items":[' .. table.concat(items, ",") .. ']'
end
