from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class CatalogConfig(AppConfig):
    name = "catalog"


class BackOfficeConfig(AdminConfig):
    default_site = "catalog.site.BackOffice"
