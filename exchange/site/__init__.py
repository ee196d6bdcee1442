"""The site (站点): console, REST interface, health and figures for machines, as one application."""

from __future__ import annotations

from exchange.site.application import application

__all__ = ["application"]
