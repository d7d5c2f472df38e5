-- The ceiling of the sweep: the rows of all due orders of a business, each table in one statement.

CREATE TEMP TABLE due ON COMMIT DROP AS
SELECT id, payment_due_at, version FROM orders_order
WHERE business_id = %(business)s AND status = 'pending' AND payment_due_at <= now() FOR NO KEY UPDATE;
ANALYZE due;

UPDATE orders_order AS orders SET status = 'cancelled', cancel_reason = 'payment_timeout', cancelled_at = now(),
    payment_due_at = NULL, version = orders.version + 1
FROM due WHERE orders.id = due.id;

INSERT INTO orders_orderevent (id, business_id, order_id, version, kind, actor, at, facts)
SELECT uuidv7(), %(business)s, id, version + 1, 'expired', 'job:benchmark', now(),
    jsonb_build_object('payment_due_at', payment_due_at)
FROM due;

CREATE TEMP TABLE ended ON COMMIT DROP AS
WITH closed AS (
    UPDATE reservations_stockreservation AS hold SET status = 'expired', closed_at = now()
    FROM due WHERE order_id = due.id AND status = 'active' RETURNING order_id, product_id, quantity
)
SELECT * FROM closed;

INSERT INTO catalog_stockmovement
    (id, business_id, product_id, kind, stock_delta, reserved_delta, order_id, actor, reason, at)
SELECT uuidv7(), %(business)s, product_id, 'expired', 0, -quantity, order_id, 'job:benchmark', '', now() FROM ended;

UPDATE catalog_stock AS stock SET reserved_stock = reserved_stock - units, version = version + 1
FROM (SELECT product_id, sum(quantity) AS units FROM ended GROUP BY product_id) AS freed
WHERE stock.product_id = freed.product_id;
