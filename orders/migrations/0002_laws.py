"""The rooms below refer to orders by a plain id, for they don't know this one. The database does."""

from django.db import migrations

REFERENCES = """
ALTER TABLE catalog_stockmovement ADD CONSTRAINT movement_order_same_business
    FOREIGN KEY (business_id, order_id) REFERENCES orders_order (business_id, id);
ALTER TABLE reservations_stockreservation ADD CONSTRAINT hold_order_same_business
    FOREIGN KEY (business_id, order_id) REFERENCES orders_order (business_id, id);
"""

UNDO = """
ALTER TABLE reservations_stockreservation DROP CONSTRAINT hold_order_same_business;
ALTER TABLE catalog_stockmovement DROP CONSTRAINT movement_order_same_business;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0001_initial"),
        ("reservations", "0001_initial"),
        ("catalog", "0002_laws"),
    ]

    operations = [migrations.RunSQL(REFERENCES, UNDO)]
