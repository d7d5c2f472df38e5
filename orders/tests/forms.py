"""A page as a browser takes it apart, for tests that fill in whatever it offers."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urljoin, urlsplit

from django.test import Client
from django.urls import resolve, reverse

Pairs = list[tuple[str, str]]


@dataclass
class Field:
    """Where something is typed or chosen: what is sent of it untouched, and what there is to choose from."""

    name: str
    kind: str  # of an input its type; or select, textarea
    values: list[str]
    choices: list[str] = field(default_factory=list)


@dataclass
class Form:
    """What a page sends, and where to. `page` is where it was found, if anywhere."""

    page: str
    action: str
    method: str
    fields: list[Field] = field(default_factory=list)
    buttons: Pairs = field(default_factory=list)

    @property
    def has_file(self) -> bool:
        return any(one.kind == "file" for one in self.fields)


class Page(HTMLParser):
    """The forms of a page, and the parameters that its own address may have, as far as its links and searches
    tell."""

    def __init__(self, address: str, html: str) -> None:
        super().__init__()
        self.address = address
        self.forms: dict[str, Form] = {}
        self._links: list[str] = []
        self._form: Form | None = None
        self._field: Field | None = None  # a select or a textarea that is open
        self.feed(html)

    @property
    def posted(self) -> list[Form]:
        return [form for form in self.forms.values() if form.method == "post"]

    @property
    def parameters(self) -> list[str]:
        here = urlsplit(self.address).path
        linked = [urlsplit(link).query for link in self._links if urlsplit(link).path == here]
        asked = [
            one.name
            for form in self.forms.values()
            if form.method == "get" and urlsplit(form.action).path == here
            for one in form.fields
        ]
        return sorted({*asked, *(name for query in linked for name, _ in parse_qsl(query))})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in given:
            self._links.append(urljoin(self.address, given["href"]))
        elif tag == "form":
            action = urljoin(self.address, given.get("action", ""))
            self._form = Form(self.address, action, given.get("method", "get").lower())
            self.forms[given.get("id") or f"form {len(self.forms)}"] = self._form
        elif tag == "option" and self._field is not None:
            self._option(self._field, given)
        elif (form := self.forms.get(given.get("form", ""), self._form)) and given.get("name"):
            self._control(form, tag, given)

    def _control(self, form: Form, tag: str, given: dict[str, str]) -> None:
        name, kind, value = given["name"], given.get("type", "text"), given.get("value", "")
        if tag == "button" or (tag == "input" and kind == "submit"):
            form.buttons.append((name, value))
        elif tag == "input" and kind in ("checkbox", "radio"):
            value = given.get("value", "on")
            form.fields.append(Field(name, kind, [value] if "checked" in given else [], [value]))
        elif tag == "input":
            form.fields.append(Field(name, kind, [value]))
        elif tag in ("select", "textarea"):
            self._field = Field(name, tag, [""])
            form.fields.append(self._field)

    def _option(self, select: Field, given: dict[str, str]) -> None:
        value = given.get("value", "")
        select.choices.append(value)
        if "selected" in given or len(select.choices) == 1:
            select.values = [value]

    def handle_data(self, data: str) -> None:
        if self._field is not None and self._field.kind == "textarea":
            self._field.values[0] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag in ("select", "textarea"):
            self._field = None


def pages_at(browser: Client, addresses: Iterable[str]) -> list[Page]:
    """The pages at these addresses; some lead elsewhere, or to a file."""
    answers = [(address, browser.get(address)) for address in addresses]
    return [
        Page(address, answer.content.decode())
        for address, answer in answers
        if answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html")
    ]


def forms_on(pages: Iterable[Page]) -> dict[str, Form]:
    """The forms that are posted, one for each address in urls.py; but not the one that signs out."""
    forms = {route(form.action): form for page in pages for form in page.posted}
    del forms[reverse("admin:logout")]
    return forms


def route(address: str) -> str:
    """The address as urls.py has it, whatever it is about."""
    return f"/{resolve(urlsplit(address).path).route}"
