"""What the forms of our pages have in common."""

from django.forms import BaseForm

from orders_project.errors import DomainError


def say(form: BaseForm, refusal: DomainError) -> None:
    """Put in a form why a verb refused what was typed: beside the field that it names, if that is one of the
    form's, else above all."""
    errors = refusal.facts.get("errors", [])
    named = errors[0]["field"] if errors else None
    form.add_error(named if named in form.fields else None, refusal.detail)
