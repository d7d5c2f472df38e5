"""What the log tells, and what it never tells."""

import json
import logging
import re
import sys

import httpx
import psycopg
import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from callers import an_order
from catalog.models import Membership
from conftest import PATIENCE
from customers.models import Customer
from factories import api_key, place, product
from orders_project.clock import database_now
from orders_project.logs import JsonLines, PlainLines, about, also_about, telling, without_secrets
from orders_project.request_log import request_id

PHONE, EMAIL, PASSWORD = "+447700900123", "ada@mail.example", "s3cret-of-mine"
IDEMPOTENCY_KEY = "checkout-of-ada-77"


def record(message="It is so", *, error=None, **extra):
    return logging.makeLogRecord(
        {"name": "orders", "levelname": "ERROR", "msg": message, "exc_info": error, **extra}
    )


def a_failure(message):
    try:
        raise ValueError(message)
    except ValueError:
        return sys.exc_info()


def test_a_line_tells_what_it_is_about():
    about(request="r1", order="o1")
    also_about(business="demo")
    line = json.loads(JsonLines().format(record()))
    plain = PlainLines().format(record())
    with telling(business="other"):
        meanwhile = PlainLines().format(record())
    afterwards = PlainLines().format(record())
    about(request="r2")
    later = json.loads(JsonLines().format(record()))
    del line["at"]
    assert line == {
        "level": "ERROR",
        "logger": "orders",
        "message": "It is so",
        "request": "r1",
        "order": "o1",
        "business": "demo",
    }
    assert plain.endswith("ERROR orders: It is so [request=r1 order=o1 business=demo]")
    assert meanwhile.endswith("[request=r1 order=o1 business=other]")
    assert afterwards.endswith("[request=r1 order=o1 business=demo]")
    assert later["request"] == "r2"
    assert "business" not in later


def test_a_line_of_json_is_one_line_and_has_the_traceback():
    line = JsonLines().format(record("one\ntwo", error=a_failure("it\nbroke")))
    assert "\n" not in line
    told = json.loads(line)
    assert told["message"] == "one\ntwo"
    assert "Traceback" in told["error"]
    assert "ValueError: it\nbroke" in told["error"]


def test_what_others_hang_on_a_record_is_not_told():
    line = JsonLines().format(record(request=f"<WSGIRequest: GET '/api/v1/customers?search={EMAIL}'>"))
    assert EMAIL not in line


SECRETS = [
    "hf_AbCdEfGh-12345_678",
    "whsec_AbCdEfGh+12345/678=",
    f"Authorization: Bearer {PASSWORD}",
    f"basic {PASSWORD}",
    f"redis://:{PASSWORD}@redis.example/1",
    f"postgresql://holdfast:{PASSWORD}@db.example:5433/shop",
    f"dbname=shop user=holdfast password={PASSWORD} host=db.example",
    f"ALTER ROLE holdfast PASSWORD '{PASSWORD}'",
    f"sessionid={PASSWORD}; csrftoken={PASSWORD}",
    f"{{'Idempotency-Key': '{PASSWORD}'}}",
    f"idempotency_key={PASSWORD}",
    f"write to {EMAIL}, please",
    f"call {PHONE}.",
    "call +44 7700 900123.",
    "call 07700 900123 now",
    f"DETAIL:  Key (business_id, phone)=(1, {PASSWORD}) already exists.",
    f"DETAIL:  Failing row contains (1, Ada,\n{PASSWORD}, null).\n\nThe above exception was",
    f'CONTEXT:  JSON data, line 1: [{{"note":"{PASSWORD}"',
]


@pytest.mark.parametrize("text", SECRETS)
@pytest.mark.parametrize("formatter", [PlainLines(), JsonLines()])
def test_no_secret_is_told_whoever_says_it(text, formatter):
    for line in (
        formatter.format(record(text)),
        formatter.format(record("It failed: %s", args=(text,))),
        formatter.format(record(error=a_failure(text))),
    ):
        for secret in (PASSWORD, "AbCdEfGh", EMAIL, "7700", "900123"):
            assert secret not in line


@pytest.mark.parametrize(
    "text",
    [
        "Order 261123-K7M2QX at version 3 with 2 events, 12345678 units, 0.123456789 s",
        "019ab6e1-1234-7123-8123-123456789012",
        "2026-11-23 12:47:45,123",
        "DETAIL:  Process 123 waits for ShareLock on transaction 456; blocked by process 789.",
        "CONTEXT:  while updating tuple (0,1) in relation catalog_stock",
        'File "/app/orders/views.py", line 12, in post',
    ],
)
def test_what_helps_is_told(text):
    assert without_secrets(text) == text


@pytest.mark.django_db
def test_the_row_that_the_database_refuses_is_not_told(shop):
    """PostgreSQL quotes it in its errors, as it stands."""
    with pytest.raises(IntegrityError) as refused, transaction.atomic():
        Customer.objects.create(business=shop, name="Ada", phone=PHONE, external_id=PASSWORD)  # without a date
    error = (refused.type, refused.value, refused.tb)
    assert PHONE in str(refused.value)
    for formatter in (PlainLines(), JsonLines()):
        line = formatter.format(record(error=error))
        assert "violates not-null constraint" in line
        for secret in (PHONE[3:], PASSWORD):
            assert secret not in line


def test_the_password_of_a_database_that_is_away_is_not_told():
    with pytest.raises(psycopg.OperationalError) as failed:
        psycopg.connect(f"postgresql://holdfast:{PASSWORD}@127.0.0.1:1/shop")
    for formatter in (PlainLines(), JsonLines()):
        line = formatter.format(record("%s", args=(failed.value,), error=(failed.type, failed.value, failed.tb)))
        assert "connection failed" in line
        assert PASSWORD not in line


@pytest.mark.parametrize(
    "wanted", ["abc-1", "Root=1-67891233-abcdef012345678912345678".replace("=", ":"), "A" * 64]
)
def test_a_request_keeps_the_id_it_came_with(wanted):
    assert request_id(wanted) == wanted


@pytest.mark.parametrize("wanted", [None, "", "a b", "a\nb", "é", "A" * 65, EMAIL, "\x1b[31m"])
def test_a_request_without_a_sane_id_gets_one(wanted):
    assert request_id(wanted) not in (wanted, request_id(wanted))


@pytest.mark.slow
@pytest.mark.usefixtures("committed")
def test_every_answer_has_its_requests_id(server, shop):
    product(shop, stock=3)
    headers = {"Authorization": f"Api-Key {api_key(shop)}", "X-Request-ID": "mine-1"}
    with httpx.Client(base_url=server, headers=headers, timeout=PATIENCE) as client:
        answers = [
            client.post("/api/v1/orders", json=an_order()),  # by a lane
            client.post("/api/v1/orders", json=an_order(("NONE", 1))),
            client.get("/api/v1/orders"),  # by Django
            client.get("/nothing"),
        ]
        assert [answer.headers["X-Request-ID"] for answer in answers] == ["mine-1"] * 4
        others = [client.get("/healthz", headers={"X-Request-ID": "two words"}) for _ in range(2)]
        assert len({"two words", *(answer.headers["X-Request-ID"] for answer in others)}) == 3


@pytest.mark.slow
def test_failures_are_told_with_what_they_are_about_and_without_secrets(
    committed, shop, monkeypatch, another_session, request
):
    """Rows that stay locked, in a lane and in Django's views; the log is that of production."""
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("DATABASE_LOCK_TIMEOUT", "20ms")
    monkeypatch.setenv("SLOW_REQUEST_SECONDS", "0")
    web = request.getfixturevalue("web")
    mug = product(shop, stock=3)
    order = place(shop, ("MUG-01", 1))
    path = f"/api/v1/orders/{order.id}"
    key = api_key(shop)
    headers = {"Authorization": f"Api-Key {key}", "Idempotency-Key": IDEMPOTENCY_KEY, "X-Request-ID": "mine-1"}
    body = an_order(customer={"name": "Ada Lovelace", "phone": PHONE, "email": EMAIL}, note=PASSWORD)
    with (
        httpx.Client(base_url=web.address, headers=headers, timeout=PATIENCE) as client,
        another_session() as other,
    ):
        other.execute("SELECT 1 FROM catalog_stock WHERE product_id = %s FOR UPDATE", [mug.id])
        other.execute("SELECT 1 FROM orders_order WHERE id = %s FOR UPDATE", [order.id])
        answers = [
            client.post("/api/v1/orders", json=body),
            client.post("/api/v1/orders", params={"search": EMAIL}, json=body),
            client.patch(
                f"{path}/payment", json={"provider": "bank", "reference": PASSWORD, "amount": str(order.total)}
            ),
            client.delete(path),
            client.get("/api/v1/customers", params={"search": EMAIL}),
        ]
        other.rollback()
    assert [answer.status_code for answer in answers] == [503, 400, 503, 503, 200]
    log = web.log.read_text()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    ours = [line for line in lines if line.get("request") == "mine-1"]
    assert [line.get("order") for line in ours if " took " in line["message"]] == [
        *(None, None),
        *(str(order.id), str(order.id), None),
    ]
    assert ours[-1]["business"] == str(shop.id)
    for secret in (key[3:], PHONE[3:], EMAIL, PASSWORD, IDEMPOTENCY_KEY, "Lovelace"):
        assert secret not in log


@pytest.mark.slow
def test_secrets_of_the_door_and_of_the_server_are_never_told(
    committed, shop, monkeypatch, another_session, request
):
    """Somebody signs in, with a wrong password and with the right one, while their row stays locked and after it,
    turns to the second step, and is shown the secret of a webhook; every request is slow enough to be noted."""
    server = {"SECRET_KEY": "key-of-the-server-0123", "LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG"}
    settings = {
        "DATABASE_LOCK_TIMEOUT": "20ms",
        "SLOW_REQUEST_SECONDS": "0",
        "EMAIL_HOST_PASSWORD": "mail-of-ours-77",
    }
    for name, value in {**server, **settings}.items():
        monkeypatch.setenv(name, value)
    web = request.getfixturevalue("web")
    ada = User.objects.create_user(f"ada-{shop.slug}", EMAIL, is_staff=True)
    ada.password = PBKDF2PasswordHasher().encode(PASSWORD, "salt")
    ada.save()
    Membership.objects.create(business=shop, user=ada, role="owner", accepted_at=database_now())
    with httpx.Client(base_url=web.address, timeout=PATIENCE) as client, another_session() as other:

        def token_in(page):
            return re.search(r'csrfmiddlewaretoken" value="(\w+)"', page.text)[1]

        def sign_in(password):
            client.get("/admin/login/")
            token = token_in(client.get("/admin/login/"))
            sent = {"username": ada.username, "password": password, "csrfmiddlewaretoken": token}
            return client.post("/admin/login/", data=sent), token

        other.execute("SELECT 1 FROM auth_user WHERE id = %s FOR UPDATE", [ada.id])
        failed, _ = sign_in(PASSWORD)
        other.rollback()
        wrong, _ = sign_in("guess-of-somebody")
        opened, token = sign_in(PASSWORD)
        second_step = client.get("/staff/account/second-step/")
        secret = re.search(r"[A-Z2-7]{32}", second_step.text)[0]
        sent = {"url": "https://shop.example/", "csrfmiddlewaretoken": token_in(second_step)}
        webhook = client.post("/staff/webhooks/", data=sent)
        signing = re.search(r"whsec_([\w+/]+)", webhook.text)[1]
        seen = client.get("/staff/holds/", params={"sku": PASSWORD})
        cookies = [value for value in client.cookies.values() if len(value) > 20]
    assert [failed.status_code, wrong.status_code, opened.status_code, seen.status_code] == [500, 200, 302, 200]
    log = web.log.read_text()
    assert "lock timeout" in log
    assert log.count(" took ") > 5
    secrets = {
        PASSWORD,
        "guess-of-somebody",
        token,
        secret,
        signing,
        *cookies,
        server["SECRET_KEY"],
        settings["EMAIL_HOST_PASSWORD"],
    }
    assert len(cookies) >= 2
    assert [told for told in secrets if told in log] == []
