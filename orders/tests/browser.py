"""A real browser on a real server, for tests of the pages as people use them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from catalog.models import Business, JobRun, Membership
from conftest import PATIENCE, database_url
from orders_project.clock import database_now
from orders_project.local.processes import die_with_parent

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        assert "NEEDS_CHROMIUM" not in os.environ, "there is no Chromium"
        pytest.skip("there is no Chromium here (Debian: apt install chromium)")
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")  # Playwright keeps a loop in this thread; we await nothing
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield browser
        browser.close()


@pytest.fixture
def jobs_ran(committed: None) -> Iterator[None]:
    """Every job was started just now, as where worker and beat are alive."""
    now = database_now()
    ran = [JobRun(job=job, started_at=now, ended_at=now, outcome=JobRun.Outcome.DONE) for job in settings.SCHEDULE]
    JobRun.objects.bulk_create(ran)
    yield
    JobRun.objects.filter(id__in=[run.id for run in ran]).delete()


@pytest.fixture
def owner(committed: None, shop: Business) -> User:
    user = User.objects.create_user(f"owner-{shop.slug}", is_staff=True)
    Membership.objects.create(business=shop, user=user, role=Membership.Role.OWNER)
    return user


@contextmanager
def visiting(
    browser: Browser, address: str, *, may_miss: str = "nothing", **options: Any
) -> Iterator[BrowserContext]:
    """The browser of who has not signed in. Whatever it complains of, and whatever it asks of another host,
    fails the test; but for the complaints that a server is not there, where that is what the test is about."""
    complaints: list[str] = []
    context = browser.new_context(base_url=address, **options)
    context.set_default_timeout(PATIENCE * 1000)
    context.on("console", lambda line: line.type == "error" and complaints.append(line.text))
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("request", lambda request: is_ours(request.url, address) or complaints.append(request.url))
    yield context
    context.close()
    assert [complaint for complaint in complaints if may_miss not in complaint] == []


@contextmanager
def signed_in(browser: Browser, address: str, user: User, **options: Any) -> Iterator[BrowserContext]:
    """Somebody's browser, as `visiting` makes it."""
    client = Client()
    client.force_login(user)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    with visiting(browser, address, **options) as context:
        context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": address}])
        yield context


def is_ours(url: str, address: str) -> bool:
    return urlsplit(url).netloc == urlsplit(address).netloc or url.startswith(("data:", "blob:"))


@pytest.fixture
def page(chromium: Browser, server: str, owner: User) -> Iterator[Page]:
    """The owner's browser."""
    with signed_in(chromium, server, owner) as context:
        yield context.new_page()


def live(page: Page, address: str) -> None:
    """Open a page, and wait until it is live."""
    page.goto(address)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")


def faults(page: Page) -> list[Any]:
    """What axe finds wrong with a page for those who see, hear or move otherwise."""
    return [
        (fault["id"], fault["help"], [node["html"] for node in fault["nodes"]])
        for fault in Axe().run(page).response["violations"]
    ]


def fits_a_phone(page: Page) -> None:
    """Wait until there is nothing to scroll sideways for, 375 px wide."""
    size = page.viewport_size
    page.set_viewport_size({"width": 375, "height": 800})
    page.wait_for_function("document.documentElement.scrollWidth <= 375")
    assert size is not None
    page.set_viewport_size(size)


@pytest.fixture
def worker(committed: None, tmp_path: Path) -> Iterator[None]:
    """A Celery worker on the test database. Nobody ticks for it: it does what it is told of."""
    runner = os.getpid()
    log = tmp_path / "worker.log"
    with log.open("wb") as lines:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "--quiet", "--app", "orders_project"),
                *("worker", "--pool", "solo", "--without-mingle", "--without-gossip", "--without-heartbeat"),
            ],
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "orders_project.settings",
                "DATABASE_URL": database_url(connection.settings_dict),
                "REDIS_URL": settings.REDIS_URL,
                "CACHE_URL": settings.CACHE_URL,
            },
            stdout=lines,
            stderr=lines,
            preexec_fn=lambda: die_with_parent(runner),
        )
    yield
    process.terminate()
    assert process.wait(timeout=PATIENCE) == 0, log.read_text()
