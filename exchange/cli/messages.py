"""The words of the command line, through message catalogues (消息目录), as pages have them."""

from __future__ import annotations

from exchange.messages import DOMAIN, LOCALE, _, catalogue

__all__ = ["DOMAIN", "LOCALE", "_", "catalogue"]
