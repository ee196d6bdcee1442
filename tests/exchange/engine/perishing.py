"""Whoever has a part in the file way, in a process of its own that dies where it is told to.

Points are, beside none,

``step:NAME`` and ``step:NAME:N``
    the Nth time the engine, or the courier, comes by a step,
``sql:N``
    after the Nth statement, in the hub's database or the library,
``durable:N``
    after the Nth time that something changed in a drop, on a server, in the spool or among the hub's own files,
``after:S``
    S seconds after its birth.
"""

from __future__ import annotations

import threading
import time
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from adapters.files.transports.local import LocalDirectory
from adapters.files.transports.protocol import Session
from adapters.messaging import Transport
from adapters.messaging.broker import BrokerTransport
from adapters.messaging.embedded import EmbeddedTransport
from exchange.engine.dispatch import Dispatches
from exchange.engine.documents import DocumentSpool
from exchange.errors import Busy, HubError
from exchange.hub import Hub, open_hub
from exchange.identity import current_actor
from exchange.secrets import Vault, VaultWriter
from tests.exchange.engine.couriers import BOOKS
from tests.exchange.engine.drops import courier
from tests.exchange.engine.witness import STEPS
from tests.exchange.engine.worker import Passages

WORK = "tests.exchange.engine.perishing:work"
MODULES = ("tests.exchange.engine.perishing", "adapters.files.endpoint", "adapters.files.transports.sftp")
COURIER_STEPS = (*BOOKS, *STEPS)
_CHANGES = {6, 13, 14, 18}
"""Requests that change a server's directory: write, remove, make a folder, rename."""
_EXTENDED = 200
_LOCAL = (
    "begin", "append", "rename", "remove", "fill", "rename_all", "remove_all", "remove_folder", "upload",
)  # fmt: skip


class _Steps:
    """Kills at the nth time that somebody comes by a step, on whatever thread."""

    def __init__(self, point: str) -> None:
        kind, _, rest = point.partition(":")
        name, _, many = rest.partition(":")
        self._name = name if kind == "step" else ""
        self._passages = Passages(int(many or 1))

    def __call__(self, step: str, _about: Any = None) -> None:
        if step == self._name:
            self._passages.by()


def work(order: dict[str, Any]) -> dict[str, Any]:
    """Do one thing to its end, or die at a point; what went wrong."""
    steps = _Steps(order["point"])
    _arm(order["point"])
    try:
        with closing(open_hub(Path(order["home"]))) as hub:
            return _DOES[order["what"]](hub, order, steps)
    except HubError as error:
        about = {"error": error.message, "status": error.status, "retry": error.retry}
        return {**about, "busy": isinstance(error, Busy), "kind": type(error).__name__}


def _arm(point: str) -> None:
    kind, _, rest = point.partition(":")
    if kind == "after":
        Passages(point).begin()
    elif kind == "sql":
        passages = Passages(int(rest))
        sa.event.listen(sa.Engine, "after_cursor_execute", lambda *_: passages.by())
    elif kind == "durable":
        passages = Passages(int(rest))
        passages.around(LocalDirectory, *_LOCAL)
        passages.around(VaultWriter, "__exit__")
        passages.around(Vault, "remove")
        passages.around(DocumentSpool, "put")
        _around_requests(passages)


def _around_requests(passages: Passages) -> None:
    ask = Session._request

    def request(self: Session, kind: int, rest: bytes, data: bytes | memoryview = b"") -> int:
        number = ask(self, kind, rest, data)
        if kind in _CHANGES or kind == _EXTENDED:
            passages.by()
        return number

    Session._request = request  # type: ignore[method-assign]


def _run(hub: Hub, order: dict[str, Any], steps: _Steps) -> dict[str, Any]:
    """Run one exchange by hand."""
    by = current_actor(hub.settings, "integrator")
    result = hub.oversight.run(order["exchange"], by=by, observe=steps)
    return {"state": result.state, "reasons": list(result.reasons)}


def _due(hub: Hub, _order: dict[str, Any], steps: _Steps) -> dict[str, Any]:
    """Do all that is due."""
    by = current_actor(hub.settings, "integrator")
    ended = list(hub.oversight.run_due(by=by, watch=lambda _: nullcontext(steps)))
    return {"failed": [f"{exchange}: {each.message}" for exchange, each in ended if isinstance(each, HubError)]}


def _deliver(hub: Hub, order: dict[str, Any], steps: _Steps) -> dict[str, Any]:
    """Work at messages until nothing is owed; one that endures goes on when the broker is away."""
    _mark(steps)
    steps("owed")
    hub.engine.run = partial(hub.engine.run, observe=steps)  # type: ignore[method-assign]
    at_work = courier(hub, notify=steps)
    if not order.get("endures"):
        return dict(at_work.work(once=True, seconds=order["seconds"]))
    books = hub.engine.dispatches

    def watch() -> None:
        deadline = time.monotonic() + order["seconds"]
        while time.monotonic() < deadline and (books.open() or books.begun()):
            time.sleep(0.2)
        at_work.stop()

    threading.Thread(target=watch, daemon=True).start()
    return dict(at_work.work(seconds=order["seconds"] + 5))


def _mark(steps: _Steps) -> None:
    for kind in (EmbeddedTransport, BrokerTransport):
        _around_publishing(kind, steps)
    marking = Dispatches.published

    def marked(self: Dispatches, ids: Any) -> None:
        marking(self, ids)
        steps("marked")

    Dispatches.published = marked  # type: ignore[method-assign]


def _around_publishing(kind: type[Transport], steps: _Steps) -> None:
    publish = kind.publish

    def published(self: Transport, *arguments: Any, **named: Any) -> bool:
        steps("sending")
        sent = publish(self, *arguments, **named)
        steps("sent")
        return sent

    kind.publish = published  # type: ignore[method-assign]


def _revoke(hub: Hub, order: dict[str, Any], _steps: _Steps) -> dict[str, Any]:
    """Revoke a grant, and call back what was delivered under it if that is wanted."""
    by = current_actor(hub.settings, "chief")
    named: dict[str, Any] = {"reason": "测试", "recall": order["recall"], "by": by}
    return {"recalls": hub.sharing.change(order["grant"], "revoke", **named)}


def _recall(hub: Hub, order: dict[str, Any], _steps: _Steps) -> dict[str, Any]:
    """Call back everything that was delivered by an exchange, or what one run delivered."""
    by = current_actor(hub.settings, "police")
    return {"recalls": hub.recalls.recall(order["run"], reason="误发", by=by)}


_DOES = {"run": _run, "due": _due, "deliver": _deliver, "revoke": _revoke, "recall": _recall}
