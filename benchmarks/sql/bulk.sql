-- The ceiling of placing in bulk: the rows of 500 orders of one line, in one statement.
WITH asked AS MATERIALIZED (
    SELECT uuidv7() AS id, 'SKU-' || (1 + floor(random() * :skus))::int AS sku,
        CASE WHEN random() < 0.2 THEN '+' || (800000000000000 + floor(random() * 100000000000000)::bigint)
            ELSE '+44' || (7700000001 + floor(random() * 10000)::bigint) END AS phone
    FROM generate_series(1, 500)
), wanted AS MATERIALIZED (
    SELECT asked.id, product.id AS product, product.sku, product.name, price, asked.phone,
        coalesce(customer.id, uuidv7()) AS customer, customer.id IS NULL AS is_new
    FROM asked
    JOIN catalog_product AS product ON product.business_id = :business AND product.sku = asked.sku
    LEFT JOIN customers_customer AS customer ON customer.business_id = :business AND customer.phone = asked.phone
), customers AS (
    INSERT INTO customers_customer
        (id, business_id, name, phone, note, created_at, total_orders, total_spent, engagement_score)
    SELECT customer, :business, 'Buyer', phone, '', now(), 0, 0, 0 FROM wanted WHERE is_new
), orders AS (
    INSERT INTO orders_order
        (id, business_id, number, customer_id, channel, status, payment_status, cancel_reason, currency, subtotal,
        shipping_fee, discount, total, note, external_id, idempotency_key, fingerprint, version, created_at,
        placed_at, payment_due_at)
    SELECT id, :business, '261123-' || right(id::text, 12), customer, 'website', 'pending', 'pending', '', 'GBP',
        price, 0, 0, price, '', id::text, id::text, encode(sha256(id::text::bytea), 'hex'), 1, now(), now(),
        now() + interval '10 hours'
    FROM wanted
), items AS (
    INSERT INTO orders_orderitem
        (id, business_id, order_id, position, product_id, sku, name, currency, unit_price, quantity, line_total)
    SELECT uuidv7(), :business, id, 1, product, sku, name, 'GBP', price, 1, price FROM wanted
), events AS (
    INSERT INTO orders_orderevent (id, business_id, order_id, version, kind, actor, at, facts)
    SELECT uuidv7(), :business, id, 1, 'placed', 'pgbench', now(),
        jsonb_build_object('channel', 'website', 'total', price::text)
    FROM wanted
), holds AS (
    INSERT INTO reservations_stockreservation
        (id, business_id, order_id, product_id, quantity, status, expires_at, created_at)
    SELECT uuidv7(), :business, id, product, 1, 'active', now() + interval '10 hours', now() FROM wanted
), movements AS (
    INSERT INTO catalog_stockmovement
        (id, business_id, product_id, kind, stock_delta, reserved_delta, order_id, actor, reason, at)
    SELECT uuidv7(), :business, product, 'reserved', 0, 1, id, 'pgbench', '', now() FROM wanted
), shelves AS MATERIALIZED (  -- locked in key order: two clients can't deadlock
    SELECT product_id FROM catalog_stock WHERE product_id IN (SELECT product FROM wanted)
    ORDER BY product_id FOR NO KEY UPDATE
)
UPDATE catalog_stock AS stock SET reserved_stock = reserved_stock + units, version = version + 1
FROM (SELECT product, count(*) AS units FROM wanted GROUP BY product) AS moved
JOIN shelves ON shelves.product_id = product
WHERE stock.product_id = product AND stock_quantity >= reserved_stock + units;
