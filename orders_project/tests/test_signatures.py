"""Signatures of webhooks: what Standard Webhooks say, and nothing else passes."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from orders_project.signatures import TOLERANCE, NotSigned, check, secret, signature

# The example that the libraries of Standard Webhooks are tested with.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"test": 2432232314}'
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def passes(**changes: object) -> bool:
    told = {
        "message_id": MESSAGE,
        "timestamp": "1614265330",
        "signatures": SIGNED,
        "body": BODY,
        "now": AT,
        **changes,
    }
    try:
        check(changes.pop("secrets", [SECRET]), **{name: told[name] for name in told if name != "secrets"})
    except NotSigned:
        return False
    return True


def test_signature_is_that_of_standard_webhooks() -> None:
    assert signature([SECRET], message_id=MESSAGE, at=AT, body=BODY) == SIGNED
    assert passes()


@pytest.mark.parametrize(
    "changes",
    [
        {"message_id": "msg_other"},
        {"timestamp": "1614265331"},
        {"body": BODY + b" "},
        {"secrets": ["whsec_" + "A" * 32]},
        {"secrets": []},
        {"signatures": ""},
        {"signatures": SIGNED.removeprefix("v1,")},
        {"signatures": SIGNED.replace("v1,", "v1a,")},
        {"signatures": SIGNED.replace("v1,", "v1, ")},
        {"signatures": SIGNED[:-1]},
        {"signatures": "v1,ä"},
        {"timestamp": ""},
        {"timestamp": "-1614265330"},
        {"timestamp": "1614265330.0"},
        {"timestamp": "１６１４２６５３３０"},
        {"timestamp": "9" * 5000},
    ],
)
def test_check_refuses_what_is_not_just_that(changes: dict[str, object]) -> None:
    assert not passes(**changes)


@pytest.mark.parametrize(
    ("off", "is_taken"),
    [
        (-TOLERANCE, True),
        (TOLERANCE, True),
        (-TOLERANCE - timedelta(seconds=1), False),
        (TOLERANCE + timedelta(seconds=1), False),
    ],
)
def test_check_takes_what_was_signed_lately(off: timedelta, is_taken: bool) -> None:
    """Old: somebody repeats it. From the future: somebody wants to repeat it later."""
    assert passes(now=AT + off) == is_taken


def test_check_takes_any_of_several_secrets_and_signatures() -> None:
    other = secret(uuid4(), 1)
    both = signature([other, SECRET], message_id=MESSAGE, at=AT, body=BODY)
    assert passes(signatures=both)
    assert passes(signatures=f"v2,whatever {SIGNED}")
    assert passes(secrets=[other, SECRET])
    assert not passes(signatures=" ".join(["v1,no"] * 10 + [SIGNED]))  # nobody has so many


def test_secret_is_of_one_owner_and_generation_and_of_this_server(settings: object) -> None:
    owner = UUID("01939f2e-6b7c-7cc3-98c4-dc0c0c07398f")
    made = secret(owner, 1)
    assert made == secret(owner, 1)
    assert len({made, secret(owner, 2), secret(uuid4(), 1)}) == 3
    settings.SECRET_KEY = "another server's"
    assert secret(owner, 1) != made
