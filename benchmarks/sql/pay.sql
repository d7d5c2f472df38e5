-- The ceiling of paying: the rows of one payment, in the statements that it takes. Each client takes the next order.
BEGIN;
SELECT orders.id AS order_id, total, customer_id AS customer FROM orders_order AS orders
    WHERE business_id = :business
        AND id = (SELECT order_id FROM bench.pending WHERE n = (SELECT nextval('bench.next')))
    FOR NO KEY UPDATE \gset
SELECT count(*) AS told FROM orders_payment
    WHERE business_id = :business AND provider = 'bank' AND reference = 'TX-' || :order_id::text \gset
SELECT count(*) AS lines FROM orders_orderitem WHERE order_id = :order_id \gset
SELECT id AS hold, product_id AS product, quantity FROM reservations_stockreservation
    WHERE order_id = :order_id AND status = 'active' FOR NO KEY UPDATE \gset
INSERT INTO orders_payment (id, business_id, order_id, kind, provider, reference, currency, amount, at, actor)
    VALUES (uuidv7(), :business, :order_id, 'capture', 'bank', 'TX-' || :order_id::text, 'GBP', :total, now(),
    'pgbench');
UPDATE orders_order SET status = 'paid', payment_status = 'paid', paid_at = now(), payment_due_at = NULL,
    version = version + 1 WHERE id = :order_id AND status = 'pending';
INSERT INTO orders_orderevent (id, business_id, order_id, version, kind, actor, at, facts)
    VALUES (uuidv7(), :business, :order_id, 2, 'paid', 'pgbench', now(),
    jsonb_build_object('provider', 'bank', 'reference', 'TX', 'amount', :total::text));
UPDATE customers_customer SET total_orders = total_orders + 1, total_spent = total_spent + :total,
    last_paid_at = greatest(last_paid_at, now()) WHERE id = :customer;
UPDATE reservations_stockreservation SET status = 'converted', closed_at = now() WHERE id = :hold;
INSERT INTO catalog_stockmovement
    (id, business_id, product_id, kind, stock_delta, reserved_delta, order_id, actor, reason, at)
    VALUES (uuidv7(), :business, :product, 'sold', -:quantity::bigint, -:quantity::bigint, :order_id,
    'pgbench', '', now());
UPDATE catalog_stock SET stock_quantity = stock_quantity - :quantity, reserved_stock = reserved_stock - :quantity,
    version = version + 1 WHERE product_id = :product AND reserved_stock >= :quantity;
COMMIT;
