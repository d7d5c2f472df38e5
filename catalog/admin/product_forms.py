"""The forms of a product. They know no counter: what is on the shelf is moved by the verbs."""

from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from catalog.models import AuditEntry, Business, Product
from catalog.services import EDITABLE, LARGEST_ADJUSTMENT, TEXTS, check_price, told
from catalog.wording import of, who
from orders_project import money
from orders_project.api.parsing import check_readable
from orders_project.errors import InvalidRequest


class ProductForm(forms.ModelForm):
    business: ClassVar[Business]  # whose product it is

    class Meta:
        model = Product
        fields = EDITABLE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if price := self.fields.get("price"):  # who may only look has no fields
            price.help_text = f"In {self.business.currency}, for orders from now on: those placed keep theirs."

    def clean_price(self) -> Any:
        price = self.cleaned_data["price"]
        try:
            check_price(price, self.business.currency)
        except InvalidRequest as refused:
            raise forms.ValidationError(refused.detail) from refused
        return price

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        for name in cleaned.keys() & TEXTS:
            try:
                check_readable(name, cleaned[name])
            except InvalidRequest as refused:
                self.add_error(name, refused.detail)
        return cleaned


class NewProduct(ProductForm):
    opening_stock = forms.IntegerField(
        min_value=0,
        max_value=LARGEST_ADJUSTMENT,
        initial=0,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Units on the shelf now. Later ones are received, counted or adjusted.",
    )


class EditProduct(ProductForm):
    """Changes what was changed in the form, and nothing else. What somebody else changed since it was shown is
    said, and is overwritten only by who knows of it."""

    data: Any
    despite_holds = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in EDITABLE:
            if name in self.fields:
                self.fields[name].show_hidden_initial = True  # so that what was shown comes back, too
        self.initial["price"] = Decimal(money.text(self.instance.price, self.business.currency))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        self.data = self.data.copy()
        for name in set(self.changed_data) & set(EDITABLE):
            self._mind_others(name)
        self._mind_holds(cleaned)
        return cleaned

    def _mind_others(self, name: str) -> None:
        """Refuse a change of what isn't any more as it was shown; the next try knows."""
        field, now = self[name], self.initial[name]
        shown = field.field.to_python(self.data.get(field.html_initial_name))
        if shown == now or self.cleaned_data.get(name) == now:
            return
        entries = AuditEntry.objects.filter(business_id=self.business.pk, subject=str(self.instance.pk))
        entry = entries.filter(changes__has_key=name).order_by("at", "id").last()
        person = who(entry.actor) if entry else "Somebody"
        self.add_error(
            name, f"{person} changed it to “{told(self.instance, now)}” meanwhile. Save again to have yours."
        )
        self.data[field.html_initial_name] = field.field.prepare_value(now)

    def _mind_holds(self, cleaned: dict[str, Any]) -> None:
        """Ask once more before a product is no longer sold of which units are held."""
        held = self.instance.stock.reserved_stock
        stops = "is_active" in self.changed_data and not cleaned.get("is_active")
        if not stops or not held or cleaned.get("despite_holds"):
            return
        units = f"{of(held, 'unit')} {'is' if held == 1 else 'are'}"
        self.add_error(
            "is_active",
            f"{units} held for orders that wait for their payment. They keep their hold; nobody can order it any "
            "more. Save again to stop selling it.",
        )
        self.data["despite_holds"] = "yes"
