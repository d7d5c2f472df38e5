"""Django's WSGI application, which orders_project/asgi.py has behind its express lanes."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orders_project.settings")

application = get_wsgi_application()
