"""What exchanges start on (数据资产): one asset for each resource of the library, one for each exchange's being called.

Whoever produces an event and whoever waits for it name the asset here, so that name and address always agree.
An event of a resource carries the minute of its refresh as its key: a delivery that is started by keys has a run
for each of them, so that no refresh of a burst is lost, and refreshes of one minute that nobody has begun to deliver
yet are one run.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

from airflow.sdk import Asset, AssetWatcher

ZONE = "Asia/Shanghai"
"""Zone of every schedule and of every key."""
MINUTE = "%Y-%m-%dT%H:%M"
"""What a key looks like."""


def resource(code: str) -> Asset:
    """The asset of a resource's rows in the base library (资源).

    Args:
        code: The resource's code, slash and all.
    """
    return Asset(name=f"resource/{code}", uri=f"shutong://resource/{quote(code, safe='')}", group="resource")


def call(exchange: str, watchers: Iterable[AssetWatcher] = ()) -> Asset:
    """The asset by which an exchange is called out of turn (呼叫): something waits for it, or was lost.

    Args:
        exchange: Id of the exchange.
        watchers: What watches for arrivals at its source.
    """
    address = f"shutong://exchange/{quote(exchange, safe='')}"
    return Asset(name=f"exchange/{exchange}", uri=address, group="exchange", watchers=list(watchers))


def minute(at: datetime) -> str:
    """The key of what happens at an instant."""
    return at.astimezone(ZoneInfo(ZONE)).strftime(MINUTE)
