"""Where a merchant sells."""

from django.db import models


class Channel(models.TextChoices):
    WHATSAPP = "whatsapp", "WhatsApp"
    INSTAGRAM = "instagram", "Instagram"
    WEBSITE = "website"

    @property
    def kept_from(self) -> str:
        """The column of a shelf that says how many units are kept back from it."""
        return f"kept_from_{self.value}"
