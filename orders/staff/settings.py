"""How the business works: its name, time zone, windows and thresholds, and its logo."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect

from catalog.authentication import Access
from catalog.models import LONGEST_PAYMENT_WINDOW, MOST_OPEN_ORDERS, Business, Logo
from catalog.places import COUNTRIES, CURRENCIES, TIME_ZONES
from catalog.rights import Right
from catalog.shop import change_settings, currency_is_fixed, set_logo
from catalog.staff import staff_action, staff_form, staff_page
from orders.staff.forms import posted, say
from orders.staff.page import link, show
from orders_project import money
from orders_project.errors import DomainError
from orders_project.transactions import one_transaction

LONGEST_DUPLICATE_WINDOW = 3600  # seconds
LARGEST_COUNT = 1_000_000


class Settings(forms.ModelForm):
    country = forms.ChoiceField(
        choices=COUNTRIES, help_text="Phone numbers without a country code are read as of here."
    )
    currency = forms.ChoiceField(choices=CURRENCIES, help_text="Every price is in it.")
    time_zone = forms.ChoiceField(
        choices=TIME_ZONES,
        help_text="Where the business’s day begins. Another one has all sales counted anew, day by day: where "
        "there are many, that takes a while, and orders wait for it.",
    )
    payment_window_minutes = forms.IntegerField(
        label="Payment window, in minutes",
        min_value=1,
        max_value=LONGEST_PAYMENT_WINDOW,
        help_text="How long an order holds its stock while it waits for the payment. For orders from now on.",
    )
    duplicate_window_seconds = forms.IntegerField(
        label="Double-click window, in seconds",
        min_value=0,
        max_value=LONGEST_DUPLICATE_WINDOW,
        help_text=Business._meta.get_field("duplicate_window_seconds").help_text,
    )
    most_open_orders = forms.IntegerField(
        label="Open orders of one customer",
        required=False,
        min_value=1,
        max_value=MOST_OPEN_ORDERS,
        help_text=Business._meta.get_field("most_open_orders").help_text,
    )
    low_stock_default = forms.IntegerField(
        label="Low stock",
        min_value=0,
        max_value=LARGEST_COUNT,
        help_text=Business._meta.get_field("low_stock_default").help_text,
    )
    reconcile_up_to = forms.IntegerField(
        label="Set books right up to, in units",
        min_value=0,
        max_value=LARGEST_COUNT,
        help_text=Business._meta.get_field("reconcile_up_to").help_text,
    )
    loyal_spend = forms.DecimalField(
        label="What a good customer spends",
        min_value=Decimal("0.001"),
        max_digits=12,
        decimal_places=money.DECIMAL_PLACES,
        help_text=Business._meta.get_field("loyal_spend").help_text,
    )
    logo = forms.FileField(
        required=False,
        help_text=f"PNG or JPEG, at most {Logo.LARGEST // 1000} kB. It stands on packing slips and invoices.",
        widget=forms.FileInput(attrs={"accept": "image/png,image/jpeg"}),
    )

    class Meta:
        model = Business
        fields = (
            *("name", "currency", "country", "time_zone", "payment_window_minutes", "duplicate_window_seconds"),
            *("most_open_orders", "low_stock_default", "reconcile_up_to", "loyal_spend"),
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What was shown comes back too: what others changed since is no change of ours.
        for name in self.Meta.fields:
            self.fields[name].show_hidden_initial = True
        self.initial["loyal_spend"] = money.text(self.instance.loyal_spend, self.instance.currency)
        if currency_is_fixed(self.instance):
            self.fields["currency"].disabled = True
            self.fields["currency"].help_text = "Prices are on file in it, so it can’t change any more."


@staff_form
def settings(request: HttpRequest, access: Access) -> HttpResponse:
    access.check(Right.SETTINGS)
    business = Business.objects.get(id=access.business.id)  # another one: the form writes in it what was typed
    form = Settings(posted(request), request.FILES or None, instance=business)
    if request.method == "POST" and form.is_valid():
        try:
            _save(form, access)
        except DomainError as refusal:
            say(form, refusal)
        else:
            messages.success(request, "Saved.")
            return redirect(link("settings", access))
    return show(
        request,
        access,
        "staff/settings.html",
        title="Settings",
        question="How does this business work?",
        form=form,
        has_logo=Logo.objects.filter(business=access.business).exists(),
    )


@one_transaction
def _save(form: Settings, access: Access) -> None:
    """Write what was changed in the form, all or nothing."""
    changes = {name: form.cleaned_data[name] for name in form.changed_data if name != "logo"}
    change_settings(business_id=access.business.id, changes=changes, actor=access.actor, now=access.now)
    if picture := form.cleaned_data["logo"]:
        set_logo(
            business=access.business, picture=picture.read(Logo.LARGEST + 1), actor=access.actor, now=access.now
        )


@staff_page
def logo(request: HttpRequest, access: Access) -> HttpResponse:
    """The picture."""
    found = Logo.objects.filter(business=access.business).first()
    if found is None:
        raise Http404("There is no logo.")
    return HttpResponse(bytes(found.image), content_type=found.media_type)


@staff_action(Right.SETTINGS)
def remove_logo(request: HttpRequest, access: Access) -> str:
    set_logo(business=access.business, picture=None, actor=access.actor, now=access.now)
    return "The logo is gone."
