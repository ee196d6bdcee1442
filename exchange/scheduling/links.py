"""From a task in Airflow to the hub (外部链接): the run in its console, and the exchange.

A link is made where the task ran, after it; no link is shown where there is nothing to lead to.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

from exchange.errors import Invalid
from exchange.snapshot import read


class RunLink(BaseOperatorLink):
    """The run's page in the hub's console (批次)."""

    name = "数通批次 Run"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The page of the run that this task made, if it made one and there is a console."""
        lineage, page = getattr(operator, "lineage", None), console_page(operator)
        run = lineage.about.get("run") if lineage else None
        console = page.rpartition("/exchanges/")[0]
        return f"{console}/runs/{quote(run, safe='')}" if console and run else ""


class ExchangeLink(BaseOperatorLink):
    """The exchange's page in the hub's console, or its own DAG from a DAG of somebody else's (交换)."""

    name = "数通交换 Exchange"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The page."""
        page = console_page(operator)
        if page or ti_key.dag_id == operator.exchange:
            return page
        from airflow.sdk.configuration import conf

        base = conf.get("api", "base_url", fallback="").rstrip("/")
        return f"{base}/dags/{quote(operator.exchange, safe='')}"


def console_page(operator: Any) -> str:
    """The page of an operator's exchange, as the snapshot says, else in this hub's console; empty: there is none."""
    from exchange.settings import load_settings

    home = getattr(operator, "home", None)
    try:
        settings = load_settings(Path(home) if home else None)
        snapshot = read(settings.home / settings.airflow.snapshot.expanduser())
        found = next((each for each in snapshot.exchanges if each.id == operator.exchange), None)
    except Invalid:
        return ""
    if found is None:
        return ""
    if found.link:
        return found.link.rstrip("/")
    console = settings.web.public_address or (f"http://127.0.0.1:{settings.port}" if settings.port else "")
    return f"{console}/exchanges/{quote(found.id, safe='')}" if console else ""
