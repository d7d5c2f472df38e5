"""Django's WSGI application, which orders_project/asgi.py has behind its express lanes."""

import os
from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orders_project.settings")

# The web processes count together, in files of this folder; it is named before anything is counted.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = settings.METRICS_DIR
Path(settings.METRICS_DIR).mkdir(parents=True, exist_ok=True)

application = get_wsgi_application()
