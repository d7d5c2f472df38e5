"""What Holdfast tells Prometheus of the trade: what became of orders, counted as they come; and how things
stand, which the database knows."""

from collections import Counter as Count
from collections.abc import Iterator, Sequence

from prometheus_client import Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from catalog.jobs import last_runs, waiting_since
from catalog.models import Alert, JobRun
from orders.errors import InsufficientStock
from orders.services import Placed
from orders_project.errors import DomainError
from orders_project.rows import select

ORDERS = Counter(
    "holdfast_orders",
    "Orders that were asked for, over the API or by hand: placed, replayed, or the code of their refusal.",
    ["outcome"],
)
RESERVATIONS = Counter(
    "holdfast_reservation_attempts",
    "Products that orders tried to reserve over the API: reserved, or refused for want of stock.",
    ["outcome"],
)
RESERVED, REFUSED = (RESERVATIONS.labels(outcome) for outcome in ("reserved", "refused"))


def count_orders(outcomes: Sequence[Placed | DomainError]) -> None:
    """Count what became of the orders of one batch."""
    for outcome, orders in Count(map(_outcome, outcomes)).items():
        ORDERS.labels(outcome).inc(orders)
    REFUSED.inc(sum(len(outcome.facts["items"]) for outcome in outcomes if isinstance(outcome, InsufficientStock)))
    RESERVED.inc(sum(len(outcome.holds) for outcome in outcomes if isinstance(outcome, Placed)))


def _outcome(outcome: Placed | DomainError) -> str:
    if isinstance(outcome, DomainError):
        return outcome.code
    return "replayed" if outcome.replayed else "placed"


# None of them takes longer for the number of orders.
SWEEP_LAG = """
    SELECT coalesce(extract(epoch FROM clock_timestamp() - min(due)), 0)::float8
    FROM catalog_business AS business, LATERAL (
        SELECT payment_due_at AS due FROM orders_order
        WHERE business_id = business.id AND status = 'pending' AND payment_due_at < clock_timestamp()
        ORDER BY payment_due_at LIMIT 1
    ) AS oldest
"""
OPEN_ALERTS = "SELECT kind, severity, count(*) FROM catalog_alert WHERE closed_at IS NULL GROUP BY kind, severity"
OPEN_DISCREPANCIES = "SELECT count(*) FROM orders_discrepancy WHERE status = 'open'"
UNITS = (
    "SELECT coalesce(sum(stock_quantity), 0)::float8, coalesce(sum(reserved_stock), 0)::float8 FROM catalog_stock"
)
CONNECTIONS = """
    SELECT coalesce(state, 'starting'), count(*) FROM pg_stat_activity
    WHERE datname = current_database() GROUP BY 1
"""


class State(Collector):
    """How things stand now, over all businesses: asked of the database each time that Prometheus looks."""

    def collect(self) -> Iterator[Metric]:
        ((lag,),) = select(SWEEP_LAG)
        yield GaugeMetricFamily(
            "holdfast_sweep_lag_seconds",
            "How long the oldest order that is due waits for the payment timeout.",
            lag,
        )
        ((shelf, held),) = select(UNITS)
        yield GaugeMetricFamily("holdfast_stock_units", "Units on all shelves, held ones included.", shelf)
        yield GaugeMetricFamily("holdfast_held_units", "Units held for orders that wait for payment.", held)
        ((drift,),) = select(OPEN_DISCREPANCIES)
        yield GaugeMetricFamily(
            "holdfast_discrepancies_open",
            "Books that don't agree, found by reconciliation and not yet set right.",
            drift,
        )
        yield from self._jobs()
        yield self._alerts()
        connections = GaugeMetricFamily(
            "holdfast_database_connections", "Connections to the database, of every process.", labels=["state"]
        )
        for state, count in select(CONNECTIONS):
            connections.add_metric([state], count)
        yield connections

    def _jobs(self) -> Iterator[Metric]:
        started = GaugeMetricFamily(
            "holdfast_job_last_start_timestamp_seconds",
            "When a job was last started; if it never was, since when it is waited for.",
            labels=["job"],
        )
        failed = GaugeMetricFamily(
            "holdfast_job_last_run_failed", "Whether the last run of a job failed: 1 or 0.", labels=["job"]
        )
        runs = last_runs()
        for job, since in waiting_since(runs).items():
            started.add_metric([job], since.timestamp())
            failed.add_metric([job], job in runs and runs[job].outcome == JobRun.Outcome.FAILED)
        yield started
        yield failed

    def _alerts(self) -> Metric:
        alerts = GaugeMetricFamily("holdfast_alerts_open", "Alerts that are open.", labels=["kind", "severity"])
        found = {(kind, severity): count for kind, severity, count in select(OPEN_ALERTS)}
        for kind in Alert.Kind:  # a series that is missing could not be told from a zero
            for severity in Alert.Severity:
                alerts.add_metric([kind, severity], found.get((kind, severity), 0))
        return alerts
