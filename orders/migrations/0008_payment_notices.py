import django.db.models.deletion
import orders_project.constraints
import uuid_utils.compat
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0004_back_office'),
        ('orders', '0007_append_only'),
    ]

    operations = [
        migrations.CreateModel(
            name='PaymentSource',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(help_text='The provider, as its payments will show it, such as “stripe”.', max_length=60)),
                ('generation', models.IntegerField(default=1)),
                ('rotated_at', models.DateTimeField(help_text='When its secret was last changed.', null=True)),
                ('created_at', models.DateTimeField()),
                ('created_by', models.CharField(max_length=120)),
                ('closed_at', models.DateTimeField(null=True)),
                ('business', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.business')),
            ],
        ),
        migrations.CreateModel(
            name='PaymentNotice',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('message_id', models.CharField(db_collation='C', max_length=255)),
                ('type', models.CharField(max_length=60)),
                ('facts', models.JSONField(default=dict, help_text='What it tells.')),
                ('received_at', models.DateTimeField()),
                ('outcome', models.CharField(choices=[('done', 'Done'), ('waiting', 'Waiting'), ('refused', 'Refused'), ('ignored', 'Ignored')], default='waiting', max_length=7)),
                ('code', models.CharField(blank=True, help_text='Of the refusal, or of what it waits for.', max_length=60)),
                ('detail', models.CharField(blank=True, max_length=500)),
                ('tries', models.IntegerField(default=0)),
                ('next_try_at', models.DateTimeField(null=True)),
                ('settled_at', models.DateTimeField(null=True)),
                ('settled_by', models.CharField(blank=True, help_text='Who saw to it, if it was a person.', max_length=120)),
                ('business', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.business')),
                ('order', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='orders.order')),
                ('source', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='orders.paymentsource')),
            ],
        ),
        migrations.AddConstraint(
            model_name='paymentsource',
            constraint=models.UniqueConstraint(fields=('business', 'id'), name='payment_source_of_business'),
        ),
        migrations.AddConstraint(
            model_name='paymentsource',
            constraint=models.UniqueConstraint(condition=models.Q(('closed_at__isnull', True)), fields=('business', 'name'), name='payment_source_named_once'),
        ),
        migrations.AddConstraint(
            model_name='paymentsource',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('generation', 1), ('rotated_at__isnull', True)), models.Q(('generation__gt', 1), ('rotated_at__isnull', False)), _connector='OR'), name='paymentsource_rotated_since_its_first_secret'),
        ),
        migrations.AddIndex(
            model_name='paymentnotice',
            index=models.Index(fields=['business', 'received_at', 'id'], name='notice_by_age'),
        ),
        migrations.AddIndex(
            model_name='paymentnotice',
            index=models.Index(condition=models.Q(('settled_at__isnull', True)), fields=['business', 'received_at', 'id'], name='notice_unsettled'),
        ),
        migrations.AddIndex(
            model_name='paymentnotice',
            index=models.Index(condition=models.Q(('outcome', 'waiting')), fields=['next_try_at'], name='notice_due'),
        ),
        migrations.AddIndex(
            model_name='paymentnotice',
            index=models.Index(fields=['settled_at'], name='notice_settled'),
        ),
        migrations.AddConstraint(
            model_name='paymentnotice',
            constraint=orders_project.constraints.SameBusiness(field='source', name='notice_source_same_business', table='orders_paymentsource'),
        ),
        migrations.AddConstraint(
            model_name='paymentnotice',
            constraint=orders_project.constraints.SameBusiness(field='order', name='notice_order_same_business', table='orders_order'),
        ),
        migrations.AddConstraint(
            model_name='paymentnotice',
            constraint=models.UniqueConstraint(fields=('business', 'source', 'message_id'), name='notice_once'),
        ),
        migrations.AddConstraint(
            model_name='paymentnotice',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('next_try_at__isnull', False), ('outcome', 'waiting'), ('settled_at__isnull', True)), models.Q(('next_try_at__isnull', True), ('outcome', 'refused')), models.Q(('next_try_at__isnull', True), ('outcome__in', ['done', 'ignored']), ('settled_at__isnull', False)), _connector='OR'), name='notice_outcome_known'),
        ),
    ]
