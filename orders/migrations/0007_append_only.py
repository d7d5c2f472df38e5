"""Events and payments are append-only, as the ledger is: what happened to an order can't be unsaid."""

from django.db import migrations, models

APPEND_ONLY = """
CREATE FUNCTION orders_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what happened to orders is append-only: % of % was refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER event_never_changed BEFORE UPDATE OR DELETE ON orders_orderevent
    FOR EACH ROW EXECUTE FUNCTION orders_is_append_only();
CREATE TRIGGER event_never_truncated BEFORE TRUNCATE ON orders_orderevent
    FOR EACH STATEMENT EXECUTE FUNCTION orders_is_append_only();
CREATE TRIGGER payment_never_changed BEFORE UPDATE OR DELETE ON orders_payment
    FOR EACH ROW EXECUTE FUNCTION orders_is_append_only();
CREATE TRIGGER payment_never_truncated BEFORE TRUNCATE ON orders_payment
    FOR EACH STATEMENT EXECUTE FUNCTION orders_is_append_only();
"""

UNDO = """
DROP TRIGGER payment_never_truncated ON orders_payment;
DROP TRIGGER payment_never_changed ON orders_payment;
DROP TRIGGER event_never_truncated ON orders_orderevent;
DROP TRIGGER event_never_changed ON orders_orderevent;
DROP FUNCTION orders_is_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("orders", "0006_lists")]

    operations = [
        migrations.RunSQL(APPEND_ONLY, UNDO),
        migrations.AddIndex(
            "order",
            models.Index(
                name="order_open", fields=["customer", "payment_due_at"], condition=models.Q(status="pending")
            ),
        ),
    ]
