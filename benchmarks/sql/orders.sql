-- Orders first..last of `total`, spread evenly over `span` until `until`, with all that belongs to them.
-- Their fates go round, an order has one to `lines` lines, and every rule of orders/invariants.py holds.

CREATE TEMP TABLE goods ON COMMIT DROP AS
SELECT row_number() OVER (ORDER BY id) - 1 AS n, id, sku, name, price
FROM catalog_product WHERE business_id = %(business)s;
CREATE UNIQUE INDEX ON goods (n);

CREATE TEMP TABLE people ON COMMIT DROP AS
SELECT row_number() OVER (ORDER BY id) - 1 AS n, id FROM customers_customer WHERE business_id = %(business)s;
CREATE UNIQUE INDEX ON people (n);

CREATE TEMP TABLE fates ON COMMIT DROP AS
SELECT fate, ordinality - 1 AS n, count(*) OVER () AS count
FROM unnest(%(fates)s::text[]) WITH ORDINALITY AS given (fate);
ANALYZE goods, people, fates;

CREATE TEMP TABLE made ON COMMIT DROP AS
SELECT moment.n, uuidv7(at - now()) AS id, at, fate, at + interval '5 minutes' AS ended_at, person.id AS customer,
    CASE WHEN fate = 'pending' THEN at + %(window)s END AS due_at
FROM (
    SELECT n, %(until)s - %(span)s * ((%(total)s - n)::float8 / %(total)s) AS at,
        hashint8(n) & 2147483647 AS dice
    FROM generate_series(%(first)s::bigint, %(last)s) AS n
) AS moment
JOIN fates ON fates.n = moment.n %% fates.count
JOIN people AS person ON person.n = dice %% (SELECT count(*) FROM people);

CREATE TEMP TABLE made_line ON COMMIT DROP AS
SELECT made.id AS order_id, at, fate, ended_at, position, item.id AS product, sku, name, price
FROM made
CROSS JOIN generate_series(1, 1 + made.n %% %(lines)s) AS position
JOIN goods AS item ON item.n = (made.n * 7919 + position) %% (SELECT count(*) FROM goods);
ANALYZE made, made_line;

INSERT INTO orders_order
    (id, business_id, number, customer_id, channel, status, payment_status, cancel_reason, currency, subtotal,
    shipping_fee, discount, total, note, fingerprint, version, created_at, placed_at, payment_due_at, paid_at,
    cancelled_at)
SELECT made.id, %(business)s, to_char(at, 'YYMMDD-') || right(made.id::text, 12), customer,
    (ARRAY['whatsapp', 'instagram', 'website'])[1 + n %% 3],
    CASE WHEN fate IN ('expired', 'cancelled') THEN 'cancelled' ELSE fate END,
    CASE WHEN fate IN ('paid', 'delivered') THEN 'paid' ELSE 'pending' END,
    CASE fate WHEN 'expired' THEN 'payment_timeout' WHEN 'cancelled' THEN 'changed their mind' ELSE '' END,
    'GBP', worth, 0, 0, worth, '', repeat('0', 64),
    CASE fate WHEN 'pending' THEN 1 WHEN 'delivered' THEN 5 ELSE 2 END, at, at, due_at,
    CASE WHEN fate IN ('paid', 'delivered') THEN ended_at END,
    CASE WHEN fate IN ('expired', 'cancelled') THEN ended_at END
FROM made JOIN (
    SELECT order_id, sum(price) AS worth FROM made_line GROUP BY order_id
) AS lines ON order_id = made.id;

INSERT INTO orders_orderitem
    (id, business_id, order_id, position, product_id, sku, name, currency, unit_price, quantity, line_total)
SELECT uuidv7(at - now()), %(business)s, order_id, position, product, sku, name, 'GBP', price, 1, price
FROM made_line;

INSERT INTO orders_orderevent (id, business_id, order_id, version, kind, actor, at, facts)
SELECT uuidv7(at - now()), %(business)s, id, version, kind, 'job:benchmark', at + (version - 1) * interval '5 minutes',
    '{}'
FROM made CROSS JOIN unnest(CASE fate
    WHEN 'pending' THEN ARRAY['placed']
    WHEN 'delivered' THEN ARRAY['placed', 'paid', 'processing', 'shipped', 'delivered']
    ELSE ARRAY['placed', fate] END) WITH ORDINALITY AS step (kind, version);

INSERT INTO orders_payment (id, business_id, order_id, kind, provider, reference, currency, amount, at, actor)
SELECT uuidv7(ended_at - now()), %(business)s, made.id, 'capture', 'bank', 'TX-' || made.id, 'GBP', worth, ended_at,
    'job:benchmark'
FROM made JOIN (
    SELECT order_id, sum(price) AS worth FROM made_line GROUP BY order_id
) AS lines ON order_id = made.id
WHERE fate IN ('paid', 'delivered');

INSERT INTO orders_shipment (id, business_id, order_id, carrier, tracking_number, tracking_url, shipped_at, delivered_at)
SELECT uuidv7(at - now()), %(business)s, id, 'Royal Mail', 'HF' || right(id::text, 12), '', at + interval '15 minutes',
    at + interval '20 minutes'
FROM made WHERE fate = 'delivered';

INSERT INTO reservations_stockreservation
    (id, business_id, order_id, product_id, quantity, status, expires_at, created_at, closed_at)
SELECT uuidv7(at - now()), %(business)s, order_id, product, 1,
    CASE fate WHEN 'pending' THEN 'active' WHEN 'expired' THEN 'expired' WHEN 'cancelled' THEN 'released'
        ELSE 'converted' END,
    at + %(window)s, at, CASE WHEN fate <> 'pending' THEN ended_at END
FROM made_line;

INSERT INTO catalog_stockmovement
    (id, business_id, product_id, kind, stock_delta, reserved_delta, order_id, actor, reason, at)
SELECT uuidv7(at - now()), %(business)s, product, 'reserved', 0, 1, order_id, 'job:benchmark', '', at
FROM made_line
UNION ALL
SELECT uuidv7(ended_at - now()), %(business)s, product,
    CASE fate WHEN 'expired' THEN 'expired' WHEN 'cancelled' THEN 'released' ELSE 'sold' END,
    CASE WHEN fate IN ('paid', 'delivered') THEN -1 ELSE 0 END, -1, order_id, 'job:benchmark', '', ended_at
FROM made_line WHERE fate <> 'pending';

UPDATE catalog_stock SET stock_quantity = stock_quantity - sold, reserved_stock = reserved_stock + held
FROM (
    SELECT product, count(*) FILTER (WHERE fate IN ('paid', 'delivered')) AS sold,
        count(*) FILTER (WHERE fate = 'pending') AS held
    FROM made_line GROUP BY product
) AS moved WHERE product_id = product;

UPDATE customers_customer SET total_orders = total_orders + bought.orders, total_spent = total_spent + bought.spent,
    last_paid_at = greatest(last_paid_at, bought.last)
FROM (
    SELECT customer, count(DISTINCT made.id) AS orders, sum(price) AS spent, max(made.ended_at) AS last
    FROM made JOIN made_line ON order_id = made.id
    WHERE made.fate IN ('paid', 'delivered') GROUP BY customer
) AS bought WHERE id = customer;
