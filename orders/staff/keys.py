"""The programs that have a key to the business: the API keys."""

from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse

from catalog.authentication import Access
from catalog.models import ApiKey
from catalog.rights import Right
from catalog.shop import give_key, revoke_key
from catalog.staff import staff_action, staff_form
from orders.staff.forms import posted, say
from orders.staff.page import show
from orders_project.errors import DomainError

MOST_REVOKED = 50  # of the keys that are over


class MakeKey(forms.ModelForm):
    class Meta:
        model = ApiKey
        fields = ("name", "scope")


@staff_form
def keys(request: HttpRequest, access: Access) -> HttpResponse:
    """The list, and the form that makes a key. Its text is shown in the answer, and only there."""
    access.check(Right.SETTINGS)
    form = MakeKey(posted(request), initial={"scope": ApiKey.Scope.WRITE})
    made, text = None, ""
    if request.method == "POST" and form.is_valid():
        try:
            made, text = give_key(
                business=access.business, actor=access.actor, now=access.now, **form.cleaned_data
            )
        except DomainError as refusal:
            say(form, refusal)
        else:
            form = MakeKey(initial={"scope": ApiKey.Scope.WRITE})
    of_business = ApiKey.objects.filter(business=access.business)
    return show(
        request,
        access,
        "staff/keys.html",
        title="API keys",
        question="Which programs have a key?",
        form=form,
        made=made,
        text=text,
        live=of_business.live().order_by("name", "id"),
        revoked=of_business.filter(revoked_at__isnull=False).order_by("-revoked_at")[:MOST_REVOKED],
    )


@staff_action(Right.SETTINGS)
def revoke(request: HttpRequest, access: Access, key_id: UUID) -> str:
    key = revoke_key(business_id=access.business.id, key_id=key_id, actor=access.actor, now=access.now)
    return f"The key {key.name} is revoked: no call with it is answered any more."
