from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('orders', '0005_bulk_runs'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='orderevent',
            options={'verbose_name': 'event'},
        ),
        migrations.AlterField(
            model_name='order',
            name='payment_status',
            field=models.CharField(choices=[('pending', 'Pending'), ('paid', 'Paid'), ('failed', 'Failed'), ('refund_due', 'refund due'), ('partially_refunded', 'partially refunded'), ('refunded', 'Refunded')], default='pending', max_length=18),
        ),
        migrations.AlterField(
            model_name='orderevent',
            name='kind',
            field=models.CharField(choices=[('created', 'created as a draft'), ('placed', 'Placed'), ('submitted', 'Submitted'), ('edited', 'Edited'), ('hold_extended', 'hold extended'), ('payment_failed', 'payment failed'), ('paid', 'Paid'), ('paid_late', 'paid late, stock taken again'), ('refund_due', 'paid too late, to be refunded'), ('processing', 'Processing'), ('shipped', 'Shipped'), ('shipment_changed', 'shipment changed'), ('delivered', 'Delivered'), ('cancelled', 'Cancelled'), ('expired', 'Expired'), ('refunded', 'Refunded'), ('noted', 'Noted'), ('customer_merged', 'Customer Merged')], max_length=16),
        ),
        migrations.RemoveIndex(
            model_name='orderevent',
            name='event_paid_late',
        ),
        migrations.AddIndex(
            model_name='orderevent',
            index=models.Index(fields=['business', 'at', 'id'], name='event_by_time'),
        ),
        migrations.AddIndex(
            model_name='orderevent',
            index=models.Index(condition=models.Q(('kind__in', ['placed', 'paid', 'processing', 'shipped', 'delivered', 'expired']), _negated=True), fields=['business', 'kind', 'at', 'id'], name='event_by_kind'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(condition=models.Q(('kind', 'refund')), fields=['business', 'at', 'id'], name='payment_refunds'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(fields=['business', 'reference'], name='payment_by_reference'),
        ),
    ]
