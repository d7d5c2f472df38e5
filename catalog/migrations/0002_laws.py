"""The ledger is append-only: nobody rewrites what moved the stock, not even by accident in SQL."""

from django.db import migrations

APPEND_ONLY = """
CREATE FUNCTION catalog_ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: % of catalog_stockmovement was refused', TG_OP
        USING ERRCODE = 'restrict_violation', HINT = 'Write a compensating movement instead.';
END $$;

CREATE TRIGGER movement_never_changed BEFORE UPDATE OR DELETE ON catalog_stockmovement
    FOR EACH ROW EXECUTE FUNCTION catalog_ledger_is_append_only();
CREATE TRIGGER movement_never_truncated BEFORE TRUNCATE ON catalog_stockmovement
    FOR EACH STATEMENT EXECUTE FUNCTION catalog_ledger_is_append_only();
"""

UNDO = """
DROP TRIGGER movement_never_truncated ON catalog_stockmovement;
DROP TRIGGER movement_never_changed ON catalog_stockmovement;
DROP FUNCTION catalog_ledger_is_append_only();
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0001_initial")]

    operations = [migrations.RunSQL(APPEND_ONLY, UNDO)]
