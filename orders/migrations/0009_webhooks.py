"""Whom the events of orders are told to. The outbox is filled by the database itself, in the statement that writes
an event, so that no doorway forgets it."""

import django.db.models.deletion
import orders_project.constraints
import uuid_utils.compat
from django.db import migrations, models

# A row for each event that came and each open endpoint of its business. The endpoints are looked up once for a
# statement, by a query whose plan is good for few of them and for many: joined with the events, a plan that was made
# when there were none read all endpoints for each event. No endpoint is locked: one that is closed at this moment
# may still get a row, which nobody sends.
TRIGGER = """
CREATE FUNCTION orders_queue_webhooks() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told record;
BEGIN
    FOR told IN
        SELECT business_id, id FROM orders_webhookendpoint
        WHERE closed_at IS NULL AND business_id = ANY (ARRAY(SELECT DISTINCT business_id FROM came))
    LOOP
        INSERT INTO orders_webhookdelivery (
            business_id, endpoint_id, event_id, order_id, sequence, queued_at, tries, next_try_at, error)
        SELECT business_id, told.id, id, order_id, version, statement_timestamp(), 0, statement_timestamp(), ''
        FROM came WHERE business_id = told.business_id;
    END LOOP;
    RETURN NULL;
END $$;

CREATE TRIGGER event_queued AFTER INSERT ON orders_orderevent REFERENCING NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION orders_queue_webhooks();
"""

UNDO = """
DROP TRIGGER event_queued ON orders_orderevent;
DROP FUNCTION orders_queue_webhooks;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0004_back_office'),
        ('orders', '0008_payment_notices'),
    ]

    operations = [
        migrations.CreateModel(
            name='WebhookEndpoint',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('url', models.CharField(help_text='Such as https://shop.example/holdfast', max_length=500, verbose_name='address')),
                ('generation', models.IntegerField(default=1)),
                ('created_at', models.DateTimeField()),
                ('created_by', models.CharField(max_length=120)),
                ('rotated_at', models.DateTimeField(help_text='When its secret was last changed.', null=True)),
                ('failing_since', models.DateTimeField(help_text='Since when nothing got through.', null=True)),
                ('rests_until', models.DateTimeField(null=True)),
                ('closed_at', models.DateTimeField(null=True)),
                ('business', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.business')),
            ],
            options={
                'verbose_name': 'webhook',
            },
        ),
        migrations.CreateModel(
            name='WebhookDelivery',
            fields=[
                ('pk', models.CompositePrimaryKey('endpoint', 'event', blank=True, editable=False, primary_key=True, serialize=False)),
                ('sequence', models.IntegerField()),
                ('queued_at', models.DateTimeField()),
                ('tries', models.IntegerField(default=0)),
                ('next_try_at', models.DateTimeField(help_text='Only while it waits.', null=True)),
                ('delivered_at', models.DateTimeField(null=True)),
                ('given_up_at', models.DateTimeField(null=True)),
                ('status', models.SmallIntegerField(help_text='What the last try was answered.', null=True)),
                ('error', models.CharField(blank=True, help_text='Why the last try was not answered.', max_length=200)),
                ('business', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.business')),
                ('event', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='orders.orderevent')),
                ('order', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='orders.order')),
                ('endpoint', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='deliveries', to='orders.webhookendpoint')),
            ],
        ),
        migrations.AddConstraint(
            model_name='webhookendpoint',
            constraint=models.UniqueConstraint(condition=models.Q(('closed_at__isnull', True)), fields=('business', 'url'), name='webhook_address_once'),
        ),
        migrations.AddConstraint(
            model_name='webhookendpoint',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('generation', 1), ('rotated_at__isnull', True)), models.Q(('generation__gt', 1), ('rotated_at__isnull', False)), _connector='OR'), name='webhookendpoint_rotated_since_its_first_secret'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(condition=models.Q(('next_try_at__isnull', False)), fields=['endpoint', 'next_try_at', 'event'], name='webhook_waiting'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(condition=models.Q(('next_try_at__isnull', False)), fields=['endpoint', 'order', 'sequence'], name='webhook_of_order'),
        ),
        migrations.AddIndex(
            model_name='webhookdelivery',
            index=models.Index(fields=['queued_at'], name='webhook_by_age'),
        ),
        migrations.AddConstraint(
            model_name='webhookdelivery',
            constraint=orders_project.constraints.SameBusiness(field='order', name='webhook_order_same_business', table='orders_order'),
        ),
        migrations.AddConstraint(
            model_name='webhookdelivery',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('delivered_at__isnull', True), ('given_up_at__isnull', True), ('next_try_at__isnull', False)), models.Q(('delivered_at__isnull', False), ('given_up_at__isnull', True), ('next_try_at__isnull', True)), models.Q(('delivered_at__isnull', True), ('given_up_at__isnull', False), ('next_try_at__isnull', True)), _connector='OR'), name='webhook_waits_or_is_over'),
        ),
        migrations.RunSQL(TRIGGER, UNDO),
    ]
