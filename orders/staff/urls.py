"""The addresses of the staff pages."""

from django.urls import path
from django.views.generic import RedirectView

from orders.staff import alerts, analytics, findings, health, holds, jobs, product

app_name = "staff"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="staff:stock_health")),
    path("stock-health/", health.stock_health, name="stock_health"),
    path("products/<uuid:product_id>/", product.product, name="product"),
    path("holds/", holds.holds, name="holds"),
    path("holds/<uuid:order_id>/extend/", holds.extend, name="extend_hold"),
    path("holds/<uuid:order_id>/release/", holds.release, name="release_hold"),
    path("alerts/", alerts.alerts, name="alerts"),
    path("alerts/<uuid:alert_id>/acknowledge/", alerts.acknowledge, name="acknowledge"),
    path("alerts/<uuid:alert_id>/snooze/", alerts.snooze, name="snooze"),
    path("findings/", findings.findings, name="findings"),
    path("findings/<uuid:finding_id>/remedy/", findings.remedy, name="remedy"),
    path("jobs/", jobs.jobs, name="jobs"),
    path("analytics/", analytics.analytics, name="analytics"),
]
