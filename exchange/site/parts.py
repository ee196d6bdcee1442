"""The parts a site needs, each asked whether it is there, and none waited for longer than is bearable (部件状态)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import requests
import sqlalchemy as sa

from exchange.db.tables import ExchangeRow
from exchange.engine import open_transport, transport_errors
from exchange.errors import Failed, HubError, Invalid
from exchange.hub import Hub
from exchange.plan import LIBRARY

PATIENCE = 3.0
"""Seconds within which a part must say that it is well."""
KEPT_SECONDS = 1.0
"""How long an answer is told again: anybody may ask, as often as he likes."""


class Parts:
    """Asks the parts of a site, all at once.

    Args:
        hub: The hub.
        scheduler: Address of the Airflow that runs beside it; empty: none does.
    """

    def __init__(self, hub: Hub, *, scheduler: str = "") -> None:
        self._hub = hub
        self._library: Callable[[], None] | None = None
        self._scheduler = scheduler
        asked: dict[str, Callable[[], None]] = {
            "database": self._ask_database,
            "library": self._ask_library,
            "home": self._ask_home,
            "keys": self._ask_keys,
            "messages": self._ask_messages,
        }
        if scheduler:
            asked["scheduler"] = self._ask_scheduler
        self._parts = {name: _Part(ask) for name, ask in asked.items()}
        self._lock = threading.Lock()
        self._kept: tuple[float, dict[str, dict[str, Any]]] | None = None

    def states(self) -> dict[str, dict[str, Any]]:
        """Each part: whether it is well, within how many milliseconds it said so, and else what kind of failure."""
        with self._lock:
            if self._kept is None or time.monotonic() - self._kept[0] > KEPT_SECONDS:
                for part in self._parts.values():
                    part.ask()
                until = time.monotonic() + PATIENCE
                told = {name: part.told(until) for name, part in self._parts.items()}
                self._kept = time.monotonic(), told
            return self._kept[1]

    def _ask_database(self) -> None:
        with self._hub.database.reading() as session:
            session.execute(sa.text("SELECT 1"))

    def _ask_library(self) -> None:
        if self._library is None:
            with self._hub.database.reading() as session:
                self._library = self._hub.endpoints.reaching(session, LIBRARY)
        try:
            self._library()
        except Invalid:
            # It is made with the first exchange.
            with self._hub.database.reading() as session:
                if session.scalar(sa.select(ExchangeRow.id).limit(1)) is not None:
                    raise

    def _ask_home(self) -> None:
        if not os.access(self._hub.settings.home, os.W_OK | os.X_OK):
            raise PermissionError

    def _ask_keys(self) -> None:
        self._hub.keyring.derive("health", "check")

    def _ask_messages(self) -> None:
        # Asked for a queue that there is not, it must answer that; asked for none, it is asked nothing.
        with transport_errors(), open_transport(self._hub.settings) as transport:
            transport.depths(["health"])

    def _ask_scheduler(self) -> None:
        answer = requests.get(f"{self._scheduler}/api/v2/monitor/health", timeout=PATIENCE)
        answer.raise_for_status()
        states = {(part or {}).get("status") for part in answer.json().values()}
        if not states <= {"healthy", None}:
            raise Failed("")


class _Part:
    """One part, asked by one thread at a time: who does not answer is not asked again meanwhile."""

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask
        self._answered = threading.Event()
        self._answered.set()
        self._state: dict[str, Any] = {}

    def ask(self) -> None:
        if self._answered.is_set():
            self._answered.clear()
            threading.Thread(target=self._asked, name="health", daemon=True).start()

    def told(self, until: float) -> dict[str, Any]:
        if self._answered.wait(max(0.0, until - time.monotonic())):
            return self._state
        return {"ok": False, "error": "Silent"}

    def _asked(self) -> None:
        began = time.monotonic()
        try:
            self._ask()
        except (HubError, OSError, ValueError, sa.exc.SQLAlchemyError) as error:
            # Its words may name hosts and users, and anybody may ask here.
            self._state = {"ok": False, "error": type(error).__name__}
        else:
            self._state = {"ok": True, "milliseconds": round((time.monotonic() - began) * 1000, 1)}
        finally:
            self._answered.set()
