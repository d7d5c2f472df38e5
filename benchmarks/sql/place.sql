-- The ceiling of placing: the rows of one order of one line, in the statements that it takes, and no more.
\set sku random(1, :skus)
\set buyer random(1, 10000)
\set new_buyer random(1, 100000000000000)
\set is_new random(1, 5)
BEGIN;
SELECT uuidv7() AS order_id, id AS product, name, price FROM catalog_product
    WHERE business_id = :business AND sku = 'SKU-' || :sku \gset
SELECT count(*) AS earlier FROM orders_order
    WHERE business_id = :business AND idempotency_key = :order_id::text \gset
\if :is_new = 1
SELECT count(*) AS known FROM customers_customer
    WHERE business_id = :business AND phone = '+' || (800000000000000 + :new_buyer) \gset
INSERT INTO customers_customer
    (id, business_id, name, phone, note, created_at, total_orders, total_spent, engagement_score)
    VALUES (uuidv7(), :business, 'Buyer', '+' || (800000000000000 + :new_buyer), '', now(), 0, 0, 0)
    RETURNING id AS customer \gset
\else
SELECT id AS customer FROM customers_customer
    WHERE business_id = :business AND phone = '+44' || (7700000000 + :buyer) \gset
\endif
SELECT stock_quantity - reserved_stock AS available FROM catalog_stock WHERE product_id = :product \gset
INSERT INTO orders_order
    (id, business_id, number, customer_id, channel, status, payment_status, cancel_reason, currency, subtotal,
    shipping_fee, discount, total, note, external_id, idempotency_key, fingerprint, version, created_at, placed_at,
    payment_due_at)
    VALUES (:order_id, :business, '261123-' || right(:order_id::text, 12), :customer, 'website', 'pending',
    'pending', '', 'GBP', :price, 0, 0, :price, '', :order_id::text, :order_id::text, encode(sha256(:order_id::text::bytea), 'hex'),
    1, now(), now(), now() + interval '10 hours');
INSERT INTO orders_orderitem
    (id, business_id, order_id, position, product_id, sku, name, currency, unit_price, quantity, line_total)
    VALUES (uuidv7(), :business, :order_id, 1, :product, 'SKU-' || :sku, :name, 'GBP', :price, 1, :price);
INSERT INTO orders_orderevent (id, business_id, order_id, version, kind, actor, at, facts)
    VALUES (uuidv7(), :business, :order_id, 1, 'placed', 'pgbench', now(),
    jsonb_build_object('channel', 'website', 'total', :price::text));
INSERT INTO reservations_stockreservation
    (id, business_id, order_id, product_id, quantity, status, expires_at, created_at)
    VALUES (uuidv7(), :business, :order_id, :product, 1, 'active', now() + interval '10 hours', now());
INSERT INTO catalog_stockmovement
    (id, business_id, product_id, kind, stock_delta, reserved_delta, order_id, actor, reason, at)
    VALUES (uuidv7(), :business, :product, 'reserved', 0, 1, :order_id, 'pgbench', '', now());
UPDATE catalog_stock SET reserved_stock = reserved_stock + 1, version = version + 1
    WHERE product_id = :product AND stock_quantity >= reserved_stock + 1;
COMMIT;
