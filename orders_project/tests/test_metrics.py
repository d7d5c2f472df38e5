"""What Prometheus is told, by the web server as it runs."""

import shutil
import subprocess
from datetime import timedelta
from urllib.request import Request, urlopen

import httpx
import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from callers import an_order
from catalog.models import Alert, JobRun
from conftest import METRICS_TOKEN, PATIENCE, until
from factories import api_key, order_in, place, product
from orders.models import Discrepancy
from orders_project.metrics import metrics


def told(text):
    """Each sample by its name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(server):
    """What a server tells of itself."""
    request = Request(f"{server}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    with urlopen(request, timeout=PATIENCE) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return answer.read().decode()


def moved(before, after):
    """What counted up in between."""
    return {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}


@pytest.mark.slow
@pytest.mark.usefixtures("committed", "all_is_well")
def test_what_becomes_of_orders_is_counted_in_both_processes_and_by_both_doorways(server, shop):
    product(shop, stock=3)
    headers = {"Authorization": f"Api-Key {api_key(shop)}"}
    before = told(scrape(server))
    for number in range(8):
        # A connection of its own, so that both processes are asked; every other one is not for the lane.
        with httpx.Client(base_url=server, headers=headers, timeout=PATIENCE) as client:
            body = an_order(("MUG-01", 1), note="É" * (number % 2))
            client.post("/api/v1/orders", json=body, params={"unknown": 1} if number == 7 else None)
    with httpx.Client(base_url=server, headers=headers, timeout=PATIENCE) as client:
        for _ in range(2):
            client.post("/api/v1/orders", json=an_order(draft=True), headers={"Idempotency-Key": "one"})
    counted = moved(before, told(scrape(server)))
    assert counted["holdfast_orders_total", "placed"] == 4
    assert counted["holdfast_orders_total", "replayed"] == 1
    assert counted["holdfast_orders_total", "insufficient_stock"] == 4
    assert counted["holdfast_reservation_attempts_total", "reserved"] == 3
    assert counted["holdfast_reservation_attempts_total", "refused"] == 4
    assert counted[REQUESTS, "POST", "api/v1/orders", "2xx"] == 5
    assert counted[REQUESTS, "POST", "api/v1/orders", "4xx"] == 5


REQUESTS = "holdfast_http_request_duration_seconds_count"


@pytest.mark.slow
@pytest.mark.usefixtures("committed")
def test_strange_requests_make_no_series_of_their_own(server):
    before = told(scrape(server))
    with httpx.Client(base_url=server, timeout=PATIENCE) as client:
        for number in range(5):
            client.get(f"/nothing/{number}")
            client.request(f"STRANGE{number}", "/healthz")
    counted = moved(before, told(scrape(server)))
    requests = {name[1:]: n for name, n in counted.items() if name[0] == REQUESTS}
    assert requests == {("GET", "", "4xx"): 5, ("other", "healthz", "4xx"): 5, ("GET", "metrics", "2xx"): 1}


@pytest.mark.slow
@pytest.mark.usefixtures("committed")
def test_clients_of_the_live_feed_are_counted_while_they_listen(server, shop):
    clients = ("holdfast_websocket_clients",)
    before = told(scrape(server))[clients]
    headers = {"Authorization": f"Api-Key {api_key(shop)}"}
    url = server.replace("http", "ws") + "/ws/live"
    with connect(url, additional_headers=headers), connect(url, additional_headers=headers):
        until(lambda: told(scrape(server))[clients] == before + 2)
    until(lambda: told(scrape(server))[clients] == before)


@pytest.mark.slow
@pytest.mark.usefixtures("committed")
def test_a_process_that_was_killed_has_no_clients_any_more(web, shop):
    url = web.address.replace("http", "ws") + "/ws/live"
    with connect(url, additional_headers={"Authorization": f"Api-Key {api_key(shop)}"}):
        until(lambda: told(scrape(web.address))["holdfast_websocket_clients",] == 1)
        web.kill()
    web.start()
    until(lambda: told(scrape(web.address))["holdfast_websocket_clients",] == 0)


@pytest.mark.slow
@pytest.mark.usefixtures("committed")
def test_promtool_finds_nothing_to_say(server, shop):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; Debian has it in its package prometheus")
    product(shop, stock=3)
    httpx.post(
        f"{server}/api/v1/orders", json=an_order(), headers={"Authorization": f"Api-Key {api_key(shop)}"}
    ).raise_for_status()
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=scrape(server), capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.fixture
def look(rf, settings):
    """GET /metrics in this process, as the one who has the token."""
    settings.METRICS_TOKEN = METRICS_TOKEN
    return lambda: told(
        metrics(rf.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})).content.decode()
    )


@pytest.mark.django_db
def test_how_things_stand_is_told_as_the_database_knows_it(look, shop, now):
    before = look()
    product(shop, stock=10)
    order_in(shop, "paid", ("MUG-01", 1))
    place(shop, ("MUG-01", 2), now=now - timedelta(minutes=25))  # due 10 minutes ago
    Alert.objects.create(business=shop, kind="drift", severity="critical", title="?", opened_at=now, seen_at=now)
    Alert.objects.create(
        kind="job_late", severity="critical", title="?", opened_at=now, seen_at=now, closed_at=now
    )
    Discrepancy.objects.create(business=shop, invariant="I4", subject="?", found="?", found_at=now, seen_at=now)
    JobRun.objects.create(job="clean-up", started_at=now, ended_at=now, outcome="failed", error="?")
    after = look()
    assert (
        moved(before, after).items()
        >= {
            ("holdfast_stock_units",): 9,
            ("holdfast_held_units",): 2,
            ("holdfast_alerts_open", "drift", "critical"): 1,
            ("holdfast_discrepancies_open",): 1,
        }.items()
    )
    assert after["holdfast_sweep_lag_seconds",] >= 600
    assert (
        after["holdfast_alerts_open", "job_late", "critical"]
        == before["holdfast_alerts_open", "job_late", "critical"]
    )
    assert after["holdfast_job_last_start_timestamp_seconds", "clean-up"] == pytest.approx(now.timestamp())
    assert after["holdfast_job_last_run_failed", "clean-up"] == 1
    assert after["holdfast_database_connections", "active"] >= 1


@pytest.mark.django_db
def test_job_that_never_ran_has_series_too(look, now):
    """Or nobody could be woken by its age."""
    JobRun.objects.all().delete()
    told = look()
    for job in settings.SCHEDULE:
        assert 0 < told["holdfast_job_last_start_timestamp_seconds", job] < now.timestamp()
        assert told["holdfast_job_last_run_failed", job] == 0


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("token", "authorization", "superuser", "status"),
    [
        ("", "", None, 401),
        ("", "Bearer ", None, 401),
        ("right", "", None, 401),
        ("right", "Bearer wrong", None, 401),
        ("right", "Bearer é", None, 401),
        ("right", "Basic right", None, 401),
        ("right", "Bearer right", None, 200),
        ("right", "bearer right", None, 200),
        ("", "", False, 401),
        ("", "", True, 200),
        ("right", "", True, 200),
    ],
)
def test_metrics_are_for_who_has_the_token_and_for_superusers(
    client, settings, token, authorization, superuser, status
):
    settings.METRICS_TOKEN = token
    if superuser is not None:
        user = get_user_model().objects.create_user("someone", is_staff=True, is_superuser=superuser)
        client.force_login(user)
    response = client.get("/metrics", headers={"Authorization": authorization} if authorization else {})
    assert response.status_code == status
    assert (b"holdfast_" in response.content) == (status == 200)
