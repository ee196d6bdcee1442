"""What the hub asks of a database product, and which products it runs on."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from exchange.errors import HubError


class Product(ABC):
    """One database product under the hub.

    Args:
        url: Address of the database, with its password if it has one.
        wait: Seconds to wait for a lock before giving up.
    """

    name: str
    """Name of the product in SQLAlchemy."""

    def __init__(self, url: URL, wait: float) -> None:
        self.url = url
        self.wait = wait
        self.engine_options: Mapping[str, Any] = {
            "pool_timeout": wait,
            # A value of a row must not reach a message.
            "hide_parameters": True,
            # Chinese stays readable in the tables, and searchable.
            "json_serializer": partial(json.dumps, ensure_ascii=False, allow_nan=False),
        }

    @abstractmethod
    def engines(self) -> tuple[Engine, Engine]:
        """An engine whose transactions write, and one whose transactions see one state and cannot write."""

    @abstractmethod
    def translated(self, error: DBAPIError) -> HubError | None:
        """The hub's error for a driver's: locked or unusable; None for what is a mistake of the program."""

    @staticmethod
    @abstractmethod
    def now(session: Session) -> datetime:
        """The database's clock."""

    @staticmethod
    @abstractmethod
    def alone(connection: Connection, name: str) -> None:
        """Wait until no other transaction holds the name, and hold it until this one ends."""
