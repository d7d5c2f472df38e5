"""Every address, in one place."""

from typing import Any

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.utils.functional import lazy
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from catalog import views as catalog
from catalog.passwords import ForgotPassword, SetPassword
from catalog.signing_in import join
from customers import views as customers
from orders import views as orders
from orders.staff import home, refusals
from orders_project import health, metrics
from orders_project.api import problem
from reservations import views as reservations

api = [
    path("orders", orders.OrderList.as_view()),
    path("orders/bulk", orders.OrderBulk.as_view()),
    path("orders/bulk/payment", orders.PaymentBulk.as_view()),
    path("orders/<uuid:order_id>", orders.OrderDetail.as_view()),
    path("orders/<uuid:order_id>/status", orders.OrderStatus.as_view()),
    path("orders/<uuid:order_id>/payment", orders.OrderPayment.as_view()),
    path("orders/<uuid:order_id>/shipping", orders.OrderShipping.as_view()),
    path("orders/<uuid:order_id>/events", orders.OrderEventList.as_view()),
    path("orders/stats/<uuid:business_id>", orders.OrderStats.as_view()),
    path("payment-notices/<uuid:source_id>", orders.PaymentNotices.as_view(), name="payment_notices"),
    path("products", catalog.ProductList.as_view()),
    path("products/<uuid:product_id>/availability", catalog.ProductAvailability.as_view()),
    path("products/<uuid:product_id>/stock-adjustments", catalog.StockAdjustments.as_view()),
    path("availability", catalog.AvailabilityList.as_view()),
    path("alerts", catalog.AlertList.as_view()),
    path("alerts/<uuid:alert_id>", catalog.AlertDetail.as_view()),
    path("stock-movements", catalog.StockMovementList.as_view()),
    path("lost-demand", reservations.LostDemandList.as_view()),
    path("reservations", reservations.ReservationList.as_view()),
    path("customers", customers.CustomerList.as_view()),
    path("customers/<uuid:customer_id>", customers.CustomerDetail.as_view()),
]

# The documentation is everyone's, so it asks nobody who they are, and a key that is wrong does not matter.
PUBLIC: dict[str, Any] = {"authentication_classes": [], "throttle_classes": []}

urlpatterns = [
    path("api/v1/", include(api)),
    path("api/schema", SpectacularAPIView.as_view(**PUBLIC), name="schema"),
    path("api/docs", SpectacularSwaggerSplitView.as_view(url_name="schema", **PUBLIC), name="docs"),
    re_path("^api(?:/|$)", problem.not_found),
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("staff/", include("orders.staff.urls")),
    path("admin/", home.home),  # in the place of Django's list of models
    path("admin/", admin.site.urls),
    path("forgotten/", ForgotPassword.as_view(), name="forgot_password"),
    path("welcome/<uidb64>/<token>/", SetPassword.as_view(), name="set_password"),
    path("welcome/<token>/", join, name="join"),
    path("favicon.ico", RedirectView.as_view(url=lazy(static, str)("holdfast/icon.svg"))),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
]

handler400 = problem.bad_request
handler403 = refusals.forbidden
handler404 = refusals.missing
handler500 = problem.server_error
