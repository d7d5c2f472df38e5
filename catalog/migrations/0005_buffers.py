from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("catalog", "0004_back_office")]

    operations = [
        *(
            migrations.AddField("stock", f"kept_from_{channel}", models.PositiveIntegerField(default=0))
            for channel in ("whatsapp", "instagram", "website")
        ),
        migrations.AddField(
            "business",
            "most_open_orders",
            models.PositiveSmallIntegerField(
                null=True,
                blank=True,
                default=50,
                help_text="How many orders of one customer may wait for their payment, and hold their stock, at a "
                "time. Empty: any number.",
            ),
        ),
        migrations.AddConstraint(
            "business",
            models.CheckConstraint(
                name="business_most_open_orders", condition=models.Q(most_open_orders__range=(1, 10_000))
            ),
        ),
    ]
