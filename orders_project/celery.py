"""The Celery application: `celery -A orders_project worker` and `... beat`."""

import os
import warnings
from typing import Any

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orders_project.settings")

# It warns of root because of pickle, which CELERY_ACCEPT_CONTENT refuses.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("orders_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def leave_logging_to_django(**_: Any) -> None:
    """Celery would replace the handlers of settings.LOGGING; a receiver keeps it from doing so."""
