"""Settings, all of them from the environment, safe where nothing is said.

Without DATABASE_URL this is a person's own machine (LOCAL): embedded servers, a generated secret,
plain HTTP on localhost. With it this is production: what must be secret or known has to be given.
Importing this module starts nothing.
"""

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.templatetags.static import static
from django.urls import reverse_lazy
from psycopg.conninfo import conninfo_to_dict

from orders_project.local import servers
from orders_project.local.secret_key import secret_key

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = servers.VAR


def _flag(name: str, default: bool) -> bool:
    return os.environ.get(name, str(int(default))).lower() in {"1", "true", "yes", "on"}


def _required(name: str, why: str) -> str:
    value = os.environ.get(name)
    if not value:
        sys.exit(f"{name} is not set: {why}.")  # one line; a traceback would bury it
    return value


def _days(name: str, default: int, *, at_least: int = 1) -> int:
    days = int(os.environ.get(name, default))
    if days < at_least:
        sys.exit(f"{name} is {days}: the least is {at_least}.")
    return days


# `make run` and the tests are LOCAL even with a DATABASE_URL of their own.
LOCAL = _flag("HOLDFAST_LOCAL", default=not os.environ.get("DATABASE_URL"))
DEBUG = _flag("DEBUG", default=False)

if LOCAL:
    DATABASE_URL = os.environ.get("DATABASE_URL") or servers.database_url()
    REDIS_URL = os.environ.get("REDIS_URL") or servers.redis_url(database=0)
    CACHE_URL = os.environ.get("CACHE_URL") or os.environ.get("REDIS_URL") or servers.redis_url(database=1)
    SECRET_KEY = os.environ.get("SECRET_KEY") or secret_key(VAR_DIR / "secret_key")
    ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
else:
    DATABASE_URL = _required("DATABASE_URL", "production needs a PostgreSQL server")
    REDIS_URL = _required("REDIS_URL", "production needs a Redis or Valkey server")
    CACHE_URL = os.environ.get("CACHE_URL") or REDIS_URL
    SECRET_KEY = _required("SECRET_KEY", "production needs a long random one of its own")
    ALLOWED_HOSTS = _required(
        "ALLOWED_HOSTS", "name the hosts that Holdfast answers to, separated by commas"
    ).split(",")

# --- Applications ----------------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # before the admin, whose templates it replaces
    "unfold.contrib.filters",
    "unfold.contrib.import_export",
    "catalog.apps.BackOfficeConfig",  # the admin
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "channels",
    "import_export",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
    "catalog.apps.CatalogConfig",
    "customers",
    "reservations",
    "orders",
]

MIDDLEWARE = [
    "orders_project.request_log.RequestLog",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "orders_project.headers.told_to_browsers",
    "orders_project.body_limit.body_limit",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "orders_project.api.middleware.StripTrailingSlash",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",  # the last: it answers for a sign-in that is locked
]

ROOT_URLCONF = "orders_project.urls"
WSGI_APPLICATION = "orders_project.wsgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

LANGUAGE_CODE = "en"
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # the first: who is locked out isn't even asked for a password
    "django.contrib.auth.backends.ModelBackend",
]

STATIC_URL = "static/"
# No collectstatic on a person's own machine: files are served from where the packages have them.
STATIC_ROOT = None if LOCAL else BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = LOCAL
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if LOCAL
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# --- PostgreSQL ------------------------------------------------------------------------------

# No request may wait for ever, hold a lock for ever, or keep a transaction open while it idles.
# manage.py lifts the statement timeout: a migration or an import may take its time.
_SESSION = {
    "lock_timeout": os.environ.get("DATABASE_LOCK_TIMEOUT", "2s"),
    "statement_timeout": os.environ.get("DATABASE_STATEMENT_TIMEOUT", "15s"),
    "idle_in_transaction_session_timeout": os.environ.get("DATABASE_IDLE_TIMEOUT", "30s"),
}
# 0 is no pool, for processes of one thread.
_POOL_SIZE = int(os.environ.get("DATABASE_POOL_SIZE", "10"))


def _database(url: str) -> dict[str, Any]:
    options: dict[str, Any] = dict(conninfo_to_dict(url))
    keys = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host"}
    database = {key: options.pop(name, "") for key, name in keys.items()}
    session = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
    return {
        "ENGINE": "django.db.backends.postgresql",
        **database,
        "PORT": options.pop("port", ""),
        "CONN_MAX_AGE": 0,  # the pool keeps them
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            # A server that vanished without a word is given up after 20 seconds.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 2,
            "tcp_user_timeout": 20_000,
            **options,
            "options": f"{options.get('options', '')} {session}".strip(),
            "server_side_binding": True,  # values travel apart from the SQL, so that it can be prepared
            "pool": {"min_size": 1, "max_size": _POOL_SIZE, "timeout": 5} if _POOL_SIZE else False,
        },
    }


DATABASES = {"default": _database(DATABASE_URL)}

# --- Redis -----------------------------------------------------------------------------------

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": CACHE_URL,
        "KEY_PREFIX": "holdfast",
        # A cache that does not answer at once is worse than none.
        "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
    }
}


def _broker_url(url: str) -> str:
    """Celery's way of writing a Redis address: it has its own for unix sockets."""
    if not url.startswith("unix://"):
        return url
    return url.replace("unix://", "redis+socket://").replace("?db=", "?virtual_host=")


# The broker carries hints only; the rows in PostgreSQL are the queue. So nothing is kept of a
# task's result, and a tick that comes too late is dropped.
CELERY_BROKER_URL = _broker_url(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 600}
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_SOFT_TIME_LIMIT = 240
CELERY_TASK_TIME_LIMIT = 300  # less than the visibility timeout, or a task would run twice at once
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
# Job, task, and every how many seconds it is asked for. A tick that nobody took until the next is dropped.
SCHEDULE = {
    "payment-timeout": ("orders.tasks.expire_due_orders", 5),
    "bulk-runs": ("orders.tasks.do_bulk_runs", 5),
    "webhooks": ("orders.tasks.send_webhooks", 3),
    "payment-notices": ("orders.tasks.try_payment_notices", 10),
    "stock-watch": ("orders.tasks.watch_shops", 15),
    "stock-minutes": ("reservations.tasks.fold_minutes", 20),
    "stuck-reservations": ("orders.tasks.free_stuck_reservations", 300),
    "alert-digest": ("catalog.tasks.send_alert_digest", 60),
    "stock-reconciliation": ("orders.tasks.reconcile_stock", 900),
    "clean-up": ("orders.tasks.clean_up", 3600),
    "customer-scores": ("customers.tasks.rescore_customers", 3600),
}
# A job that never ran is due at once, for its time to begin is long over; or each start of beat would have it wait
# for a whole period again.
CELERY_BEAT_SCHEDULE = {
    job: {
        "task": task,
        "schedule": float(seconds),
        "start_time": datetime(2000, 1, 1, tzinfo=UTC),
        "options": {"expire_seconds": seconds},
    }
    for job, (task, seconds) in SCHEDULE.items()
}

# For how many days the clean-up keeps what nobody needs any more.
RETENTION_DAYS = {
    "drafts": _days("KEEP_DRAFTS_DAYS", 30),  # since anybody touched them
    "job_runs": _days("KEEP_JOB_RUNS_DAYS", 3),
    "alerts": _days("KEEP_ALERTS_DAYS", 180),  # since they closed
    "bulk_runs": _days("KEEP_BULK_RUNS_DAYS", 30),  # since they ended
    "payment_notices": _days("KEEP_PAYMENT_NOTICES_DAYS", 90),  # since nothing was left to do
    "minutes": _days("KEEP_MINUTES_DAYS", 90),  # the charts of stock health
    "webhooks": _days("KEEP_WEBHOOKS_DAYS", 30, at_least=4),  # what was told to whom, which is tried for three
}

# --- WebSocket -------------------------------------------------------------------------------

# Pub/sub: a message that nobody listens to costs nothing, and the feed itself keeps what was missed.
CHANNEL_LAYERS = {
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
}

# --- Mail ------------------------------------------------------------------------------------

# On a person's own machine mails are files that they can open.
EMAIL_BACKEND = f"django.core.mail.backends.{'filebased' if LOCAL else 'smtp'}.EmailBackend"
EMAIL_FILE_PATH = VAR_DIR / "mails"
EMAIL_HOST = os.environ.get("EMAIL_HOST", "localhost")
EMAIL_PORT = int(os.environ.get("EMAIL_PORT", "25"))
EMAIL_HOST_USER = os.environ.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = _flag("EMAIL_USE_TLS", default=False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = os.environ.get("DEFAULT_FROM_EMAIL", "Holdfast <holdfast@localhost>")
# Where people find the pages that a mail speaks of.
PUBLIC_URL = os.environ.get("PUBLIC_URL", f"http://localhost:{os.environ.get('PORT', '8000')}")

# --- Back office -----------------------------------------------------------------------------

UNFOLD = {
    "SITE_TITLE": "Holdfast",
    "SITE_HEADER": "Holdfast",
    "SITE_SYMBOL": "anchor",
    "SITE_URL": None,  # there is no other site to look at
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("holdfast/icon.svg")}
    ],
    "STYLES": [lambda request: static("holdfast/staff.css")],
    "SHOW_HISTORY": False,  # Django's own log, which nothing is written in; the audit tells
    "SIDEBAR": {"navigation": "orders.staff.sidebar.sidebar"},
    "ACCOUNT": {"navigation": [{"title": "Your account", "link": reverse_lazy("staff:account")}]},
    "BORDER_RADIUS": "6px",
    # One accent, for what can be clicked: a deep sea blue.
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 235)",
            "100": "oklch(94% .028 235)",
            "200": "oklch(88% .055 235)",
            "300": "oklch(80% .095 236)",
            "400": "oklch(72% .125 238)",
            "500": "oklch(68% .125 240)",
            "600": "oklch(48% .115 243)",
            "700": "oklch(43% .105 244)",
            "800": "oklch(37% .085 245)",
            "900": "oklch(31% .065 246)",
            "950": "oklch(23% .050 247)",
        },
    },
}

# --- API -------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "catalog.authentication.ApiKeyAuthentication",
        "catalog.authentication.StaffSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["catalog.authentication.BusinessAccess"],
    "DEFAULT_THROTTLE_CLASSES": ["catalog.throttling.KeyThrottle"],
    "DEFAULT_PARSER_CLASSES": ["orders_project.api.parsing.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "orders_project.api.pagination.KeysetPagination",
    "DEFAULT_FILTER_BACKENDS": ["orders_project.api.filters.StrictFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "orders_project.api.problem.exception_handler",
    "COERCE_DECIMAL_TO_STRING": True,
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS tells nothing; the schema does
    "URL_FORMAT_OVERRIDE": None,  # ?format= is a parameter like any other
}


# Of one key. A shop's website sells through one key, so a rush must fit; a runaway client must not.
API_CALLS_PER_MINUTE = int(os.environ.get("API_CALLS_PER_MINUTE", "600000"))
# To one payment source from one address: each is read before it is known who sent it.
PAYMENT_NOTICES_PER_MINUTE = int(os.environ.get("PAYMENT_NOTICES_PER_MINUTE", "6000"))

SPECTACULAR_SETTINGS = {
    "TITLE": "Holdfast API",
    "DESCRIPTION": "Orders and stock: a unit of stock is promised to one buyer at a time.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "orders_project.api.schema.close_bodies",
    ],
    "COMPONENT_SPLIT_PATCH": False,  # what a PATCH needs, it needs
    "TAGS": [
        {"name": name}
        for name in ("Orders", "Payment notices", "Products", "Availability", "Stock", "Reservations", "Alerts")
    ],
    "AUTHENTICATION_WHITELIST": [],
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "ApiKey": {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "description": "Your business's key, as `Api-Key hf_…`.",
            },
            "Signature": {
                "type": "apiKey",
                "in": "header",
                "name": "webhook-signature",
                "description": "`v1,` and the message's HMAC-SHA256 with the secret of its payment source.",
            },
        }
    },
    "SECURITY": [{"ApiKey": []}],
    # From our own static files: no page of Holdfast asks an outside host for anything.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- Security --------------------------------------------------------------------------------

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not LOCAL
SECURE_SSL_REDIRECT = _flag("SECURE_SSL_REDIRECT", default=not LOCAL)
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]  # probes speak plain HTTP inside the network
SECURE_HSTS_SECONDS = 0 if LOCAL else 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not LOCAL
# Only where a proxy always sets or strips X-Forwarded-Proto and X-Forwarded-For: else a client could forge them.
BEHIND_PROXY = _flag("BEHIND_PROXY", default=False)
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Whether webhooks may go to this machine and its network, over plain HTTP and to any port, too. For tests, and
# where all who set up webhooks may reach that network anyway.
WEBHOOKS_TO_PRIVATE_ADDRESSES = _flag("WEBHOOKS_TO_PRIVATE_ADDRESSES", default=False)

# Nothing from elsewhere, no script but from our own files, and nobody may show our pages in theirs. The back
# office's theme needs two exceptions: Alpine evaluates what stands in its templates' attributes, and its colours
# and widths stand in the page.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "object-src": [NONE],
        "script-src": [SELF, UNSAFE_EVAL],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# Browsers let no other host, and no plain HTTP, set a cookie of such a name.
_COOKIE = "" if LOCAL else "__Host-"
SESSION_COOKIE_NAME = f"{_COOKIE}sessionid"
CSRF_COOKIE_NAME = f"{_COOKIE}csrftoken"
KNOWN_BROWSER_COOKIE_NAME = f"{_COOKIE}known"
CSRF_COOKIE_HTTPONLY = True  # our scripts send what stands in the form
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # a cookie less
# From the sign-in on, whatever somebody does meanwhile: a long day's work; a stolen laptop's is over next morning.
SESSION_COOKIE_AGE = 12 * 3600
OTP_TOTP_ISSUER = "Holdfast"
OTP_ADMIN_HIDE_SENSITIVE_DATA = True

# After so many failures of one name from one address, of one name or from one address, nothing more is asked for a
# while. The API knows no passwords, and is not concerned.
AXES_FAILURE_LIMIT = 5
FAILURES_OF_NAME = 50
FAILURES_OF_ADDRESS = 100
AXES_HANDLER = "catalog.failures.Failures"
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "catalog.signing_in.address_of"
AXES_LOCKOUT_CALLABLE = "catalog.signing_in.locked_out"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # else knocking on would lock somebody out for ever
AXES_DISABLE_ACCESS_LOG = True  # the audit tells who signed in
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address", "code", "passed"]
AXES_VERBOSE = False

# --- Logs and metrics ------------------------------------------------------------------------

# A request that took longer gets a line in the log.
SLOW_REQUEST_SECONDS = float(os.environ.get("SLOW_REQUEST_SECONDS", "5"))
# Lets Prometheus read /metrics. Without it only a superuser can.
METRICS_TOKEN = os.environ.get("METRICS_TOKEN", "")
# The web processes count together, in files here.
METRICS_DIR = os.environ.get("METRICS_DIR", str(VAR_DIR / "metrics"))

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {"()": "orders_project.logs.PlainLines"},
        "json": {"()": "orders_project.logs.JsonLines"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": os.environ.get("LOG_FORMAT", "plain" if LOCAL else "json"),
        }
    },
    "root": {"handlers": ["stderr"], "level": os.environ.get("LOG_LEVEL", "INFO")},
    "loggers": {
        "celery": {"level": "WARNING"},  # a line for each tick would hide all others
        "django_celery_beat": {"level": "WARNING"},
        "django": {"handlers": [], "level": "INFO"},  # to root, not to Django's own handlers
        "django.request": {"level": "ERROR"},  # a 4xx is the client's business
        "django.security.DisallowedHost": {"level": "CRITICAL"},  # so is a host that isn't ours
        "fontTools": {"level": "WARNING"},  # a line for each table of a font
        "axes": {"level": "ERROR"},  # who failed to sign in stands in the audit
    },
}
