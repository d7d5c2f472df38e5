"""Who works in the business, and what each of them may do."""

from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.mail import send_mail
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import reverse
from django_otp import user_has_device

from catalog.authentication import Access
from catalog.models import Membership
from catalog.passwords import password_path
from catalog.people import add_person, change_role, invitation_to, remove_person
from catalog.rights import DOING, OF_ROLE, Right
from catalog.staff import staff_action, staff_form
from orders.staff.forms import posted, say
from orders.staff.page import link, show
from orders_project.errors import DomainError, InvalidRequest

Role = Membership.Role

# What somebody of each role may do, as the page says it.
MAY = {
    role: "only looks"
    if not OF_ROLE[role]
    else "; ".join(DOING[right] for right in Right if right in OF_ROLE[role])
    for role in Role
} | {Role.OWNER: "everything: the business, its people and its API keys too"}


class AddPerson(forms.Form):
    who = forms.CharField(
        label="Mail address or user name",
        max_length=150,
        help_text="Somebody new is invited by mail address. Who has an account is asked by mail, and accepts.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    role = forms.ChoiceField(choices=Role.choices, initial=Role.PACKER)


@staff_form
def people(request: HttpRequest, access: Access) -> HttpResponse:
    """The list, and the form that adds somebody. A link to set a password is shown in the answer only."""
    access.check(Right.SETTINGS)
    form = AddPerson(posted(request))
    invited: dict[str, Any] = {}
    if request.method == "POST" and form.is_valid():
        try:
            added = add_person(
                business_id=access.business.id,
                who=form.cleaned_data["who"],
                role=Role(form.cleaned_data["role"]),
                actor=access.actor,
                now=access.now,
            )
        except DomainError as refusal:
            say(form, refusal)
        else:
            user = added.member.user
            if not added.is_invited:
                _ask(request, access, added.member)
                return redirect(link("people", access))
            address = request.build_absolute_uri(password_path(user))
            invited = {
                "invited": user,
                "address": address,
                "is_mailed": _mail(access, added.member, "invitation", address),
            }
            form = AddPerson()
    members = Membership.objects.filter(business=access.business).select_related("user")
    return show(
        request,
        access,
        "staff/people.html",
        title="People",
        question="Who works here, and what may they do?",
        form=form,
        members=[(member, user_has_device(member.user)) for member in members.order_by("user__username")],
        roles=[(role, MAY[role]) for role in Role],
        days=settings.PASSWORD_RESET_TIMEOUT // (24 * 3600),
        **invited,
    )


@staff_action(Right.SETTINGS)
def give_role(request: HttpRequest, access: Access, member_id: UUID) -> str:
    role = request.POST.get("role", "")
    if role not in Role.values:
        raise InvalidRequest.at("role", "unknown", "There is no such role.")
    member = change_role(
        business_id=access.business.id, member_id=member_id, role=Role(role), actor=access.actor, now=access.now
    )
    return f"{member.user} is {member.role} from now on."


@staff_action(Right.SETTINGS)
def remove(request: HttpRequest, access: Access, member_id: UUID) -> str:
    member = remove_person(business_id=access.business.id, member_id=member_id, actor=access.actor, now=access.now)
    return f"{member.user} doesn’t work here any more."


def _ask(request: HttpRequest, access: Access, member: Membership) -> None:
    """Mail somebody with an account the link to accept a place. It is shown nowhere: that they read their mail is
    what shows that the account is theirs."""
    address = request.build_absolute_uri(reverse("join", args=[invitation_to(member)]))
    if _mail(access, member, "join", address):
        says = f"{member.user} has an account already. We have mailed them: they work here once they accept."
        messages.success(request, says)
    else:
        messages.error(request, f"{member.user} couldn’t be mailed. Press “Mail again” later.")


def _mail(access: Access, member: Membership, template: str, address: str) -> bool:
    """Send a link to whom it is for; whether that went well."""
    text = render_to_string(f"mail/{template}.txt", {"member": member, "actor": access.actor, "address": address})
    name = " ".join(access.business.name.split())  # a subject is one line
    try:
        send_mail(f"You are invited to work at {name}", text, None, [member.user.email])
    except OSError:  # no mail server, or it won't
        return False
    return True
