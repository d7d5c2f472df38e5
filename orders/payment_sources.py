"""Which payment providers tell a business of its payments: what an owner decides."""

from datetime import datetime
from uuid import UUID

from catalog import audit
from catalog.models import Business
from orders import signed
from orders.errors import PaymentSourceNotFound
from orders.models import PaymentSource
from orders.services.paying import BY_HAND
from orders_project.api.parsing import check_readable
from orders_project.errors import InvalidRequest
from orders_project.transactions import one_transaction

MOST_SOURCES = 20  # of one business


@one_transaction
def add_source(*, business_id: UUID, name: str, actor: str, now: datetime) -> PaymentSource:
    """Take messages from a provider. Raises InvalidRequest for a name that its payments can't be told apart by,
    or that can't be read, and for one that is one too many."""
    check_readable("name", name)
    Business.objects.select_for_update(no_key=True).get(id=business_id)
    there = PaymentSource.objects.of(business_id).open()
    if name == BY_HAND or there.filter(name=name).exists():
        raise InvalidRequest.at("name", "taken", f"There are payments by {name} already. Take another name.")
    if there.count() >= MOST_SOURCES:
        raise InvalidRequest.at("name", "too_many", f"{MOST_SOURCES} are the most. Close one of the others first.")
    source = PaymentSource.objects.create(business_id=business_id, name=name, created_at=now, created_by=actor)
    audit.record(business_id=business_id, actor=actor, now=now, action="added", subject=source)
    return source


@one_transaction
def change_secret(
    *, business_id: UUID, source_id: UUID, generation: int, actor: str, now: datetime
) -> PaymentSource:
    """Have a provider sign with another secret than that of a generation. Raises what `signed.renew_secret` does,
    and PaymentSourceNotFound."""
    source = _find_open(business_id, source_id)
    signed.renew_secret(source, generation=generation, actor=actor, now=now)
    return source


@one_transaction
def close_source(*, business_id: UUID, source_id: UUID, actor: str, now: datetime) -> PaymentSource:
    """Take no message from a provider any more. Raises PaymentSourceNotFound."""
    source = _find_open(business_id, source_id)
    signed.close(source, actor=actor, now=now)
    return source


def _find_open(business_id: UUID, source_id: UUID) -> PaymentSource:
    sources = PaymentSource.objects.of(business_id).open().filter(id=source_id)
    source = sources.select_for_update(no_key=True).first()
    if source is None:
        raise PaymentSourceNotFound("There is no such payment source, or it is closed.", source=str(source_id))
    return source
