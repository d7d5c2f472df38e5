"""`make screenshots`: every page of the back office as it looks, of a demo shop in a rush; PAGES="home orders" for
some of them.

It runs all of Holdfast anew, its data in a folder that is gone afterwards, and goes through it with a browser.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from playwright.sync_api import APIRequestContext, Browser, BrowserContext, Page, StorageState, sync_playwright

from orders_project.local.processes import die_with_parent
from orders_project.local.servers import PROJECT

FOLDER = PROJECT / "var" / "screenshots"
HOST = "127.0.0.1"
STARTING = 180  # seconds
WIDTHS = {1280: 800, 375: 812}
HIGHEST = 2400
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

BAD_ROWS = "sku,name,price\nMUG-01,Stoneware mug,12.50\n,No SKU,3.00\nCUP-09,Espresso cup,cheap\n"

# How one gets to a page: by its address, with the ids of the shop in it, or by doing something.
Way = str | Callable[[Page], None]


def to_pack(page: Page) -> None:
    """What a bulk action says before it is confirmed."""
    page.goto("/admin/orders/order/?needs=to_pack")
    for box in page.locator("input.action-select").all()[:8]:
        box.check()
    page.locator("select[name=action]").select_option("start_processing")
    send(page, "select[name=action]")


def bad_import(page: Page) -> None:
    """What an import with bad rows says before it is done."""
    page.goto("/admin/catalog/product/import/")
    file = {"name": "products.csv", "mimeType": "text/csv", "buffer": BAD_ROWS.encode()}
    page.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]  # as it is documented
    send(page, "input[type=file]")


def send(page: Page, field: str) -> None:
    """Send the form that a field is in."""
    with page.expect_navigation():
        page.locator(field).evaluate("field => field.form.requestSubmit()")


PAGES: Mapping[str, Way] = {
    "sign-in": "/admin/login/",
    "home": "/admin/",
    "orders": "/admin/orders/order/",
    "order-held": "/staff/orders/{pending}/",
    "order-paid": "/staff/orders/{paid}/",
    "order-delivered": "/staff/orders/{delivered}/",
    "new-order": "/staff/orders/new/",
    "bulk-run": to_pack,
    "bulk-runs": "/staff/bulk/",
    "customers": "/admin/customers/customer/",
    "customer": "/staff/customers/{customer}/",
    "merge": "/staff/customers/{customer}/merge/",
    "products": "/admin/catalog/product/",
    "product": "/staff/products/{product}/",
    "product-form": "/admin/catalog/product/{product}/change/",
    "import": bad_import,
    "count": "/staff/count/",
    "stock-health": "/staff/stock-health/",
    "holds": "/staff/holds/",
    "alerts": "/staff/alerts/",
    "findings": "/staff/findings/?state=all",
    "analytics": "/staff/analytics/",
    "payments": "/admin/orders/payment/",
    "payment-notices": "/staff/payment-notices/?state=all",
    "reservations": "/admin/reservations/stockreservation/",
    "ledger": "/admin/catalog/stockmovement/",
    "events": "/admin/orders/orderevent/",
    "jobs": "/staff/jobs/",
    "settings": "/staff/settings/",
    "people": "/staff/people/",
    "keys": "/staff/keys/",
    "payment-sources": "/staff/payment-sources/",
    "webhooks": "/staff/webhooks/",
    "audit": "/admin/catalog/auditentry/",
    "account": "/staff/account/",
    "second-step": "/staff/account/second-step/",
    "password": "/admin/password_change/",
}
BEFORE_SIGNING_IN = {"sign-in"}


def main() -> int:
    """Take them all, or those that are named; the exit status is 1 if a page isn't there."""
    names = sys.argv[1:] or list(PAGES)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None or not set(names) <= set(PAGES):
        print(f"It takes Chromium (Debian: apt install chromium). The pages: {', '.join(PAGES)}", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    print("Starting Holdfast with a demo shop ...", flush=True)
    with holdfast() as (address, environment), sync_playwright() as playwright:
        demo = json.loads(manage(environment, "seed_demo", "--format", "json"))
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=program, args=sandbox)
        key = {"Authorization": f"Api-Key {demo['api_key']}"}
        found = ids(playwright.request.new_context(base_url=address, extra_http_headers=key))
        manage(environment, "flash_sale", "--buyers", "300", "--units", "20", "--sku", "MUG-RUSH")
        session = signed_in(browser, address, **demo["admin"])
        missing = [name for name in names if not taken(browser, address, name, found, session)]
        browser.close()
    print(f"They are in {FOLDER}." if not missing else f"Not there: {', '.join(missing)}.")
    return 1 if missing else 0


@contextmanager
def holdfast() -> Iterator[tuple[str, dict[str, str]]]:
    """All of Holdfast, just started: its address, and the environment of its commands."""
    ours = os.getpid()
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = str(probe.getsockname()[1])
    with TemporaryDirectory(prefix="holdfast-") as folder:
        environment = {**os.environ, "HOLDFAST_VAR": folder, "HOST": HOST, "PORT": port}
        process = subprocess.Popen(
            [sys.executable, "-m", "orders_project.local.run"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: die_with_parent(ours),
        )
        assert process.stdout is not None
        try:
            # It says where it runs when it does, and ends if it can't.
            if not any("Holdfast is running" in line for line in process.stdout):
                raise SystemExit("Holdfast did not start; what it said is above.")
            yield f"http://{HOST}:{port}", environment
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()


def manage(environment: Mapping[str, str], *arguments: str) -> str:
    """Run a management command to its end, and return what it printed."""
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, env=environment, cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def ids(api: APIRequestContext) -> dict[str, str]:
    """Things of the shop to look at, by what they are called in PAGES."""

    def first(status: str) -> dict[str, Any]:
        found: dict[str, Any] = api.get(f"/api/v1/orders?status={status}").json()["results"][0]
        return found

    orders = {status: first(status) for status in ("pending", "paid", "delivered")}
    return {
        **{status: order["id"] for status, order in orders.items()},
        "customer": orders["delivered"]["customer"]["id"],
        "product": orders["delivered"]["items"][0]["product"],
    }


def signed_in(browser: Browser, address: str, username: str, password: str) -> StorageState:
    """The cookies of somebody who has signed in."""
    context = browser.new_context(base_url=address)
    page = context.new_page()
    page.goto("/admin/login/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/admin/")
    state = context.storage_state()
    context.close()
    return state


def taken(browser: Browser, address: str, name: str, found: Mapping[str, str], session: StorageState) -> bool:
    """Take a page in each width and theme; False if it isn't there."""
    for width, height in WIDTHS.items():
        for theme in THEMES:
            context = browser.new_context(
                base_url=address,
                viewport={"width": width, "height": height},
                color_scheme=theme,
                storage_state=None if name in BEFORE_SIGNING_IN else session,
            )
            is_there = shot(context, PAGES[name], found, FOLDER / f"{name}-{width}-{theme}.png")
            context.close()
            if not is_there:
                return False
    print(name, flush=True)
    return True


def shot(context: BrowserContext, way: Way, found: Mapping[str, str], file: Path) -> bool:
    page = context.new_page()
    if callable(way):
        way(page)
    else:
        answer = page.goto(way.format(**found))
        if answer is None or not answer.ok:
            return False
    page.evaluate("document.fonts.ready")
    live = page.locator("#live[data-state=live]")
    if page.locator("#live").count():
        live.wait_for()
    # As high as the page, for what sticks to the foot of the window; of a long list only the beginning.
    size = page.viewport_size
    assert size is not None
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": min(max(height, size["height"]), HIGHEST)})
    page.screenshot(path=file)
    return True


if __name__ == "__main__":
    sys.exit(main())
