"""Desks that are killed: one process imports everything and forks a child for each order, which dies at the nth point.

Points are where something has just become durable, or is about to: a file of the vault under its name, a committed
transaction of the hub, and the moment before each.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy.orm import configure_mappers

import schemas
from exchange.db import HubDatabase
from exchange.secrets import VaultWriter

ROOT = Path(__file__).resolve().parents[3]
CRASHED = 99


def _dying(point: int) -> None:
    """Let this process kill itself at a point; heartbeat and sealer have threads of their own and do not count."""
    import threading

    passed = 0

    def strike() -> None:
        nonlocal passed
        if threading.current_thread() is threading.main_thread():
            passed += 1
            if passed == point:
                os.kill(os.getpid(), signal.SIGKILL)

    transaction, leave = HubDatabase.transaction, VaultWriter.__exit__

    @contextmanager
    def guarded(self: HubDatabase) -> Iterator[Any]:
        with transaction(self) as session:
            yield session
            strike()
        strike()

    def left(self: VaultWriter, *about: Any) -> None:
        strike()
        leave(self, *about)
        strike()

    setattr(HubDatabase, "transaction", guarded)  # noqa: B010
    setattr(VaultWriter, "__exit__", left)  # noqa: B010


def _push(desk: Any, order: dict[str, Any]) -> dict[str, Any]:
    from tests.exchange.engine.town import person, wrong
    from tests.exchange.service.callers import PUSHED, PUSHER, pushed

    version = order["version"]
    people = (person(1, version=version), wrong(2, version=version), person(100 + version))
    answer = desk.push(PUSHER, PUSHED, order["message"], pushed(*people))
    return {"state": answer.state, "accepted": answer.accepted, "refused": [each.row for each in answer.refused]}


def _fetch(desk: Any, order: dict[str, Any]) -> dict[str, Any]:
    """Ask on to the end, each page applied by the recipient before the next is asked for."""
    from tests.exchange.service.callers import CALLER, CODE, rows

    cursor, first = None, True
    with Path(order["file"]).open("a", encoding="utf-8") as recipient:
        while first or cursor is not None:
            page = desk.query(CALLER, CODE, cursor, 3)
            recipient.writelines(f"{json.dumps(row, default=str)}\n" for row in rows(page))
            recipient.flush()
            cursor, first = page.following(), False
    return {"state": "fetched"}


_DEEDS: dict[str, Callable[[Any, dict[str, Any]], dict[str, Any]]] = {"push": _push, "fetch": _fetch}


def work(order: dict[str, Any]) -> dict[str, Any]:
    """Carry out one order in this process; what the caller is answered."""
    from adapters.errors import AdapterError
    from exchange.hub import open_hub
    from exchange.service.desk import HubDesk

    with closing(open_hub(Path(order["home"]))) as hub, HubDesk(hub) as desk:
        if order["point"]:
            _dying(order["point"])
        try:
            return _DEEDS[order["deed"]](desk, order)
        except AdapterError as error:
            return {"state": type(error).__name__}


def serve() -> None:
    """Read orders, fork a child for each, answer how it ended and what it was told."""
    for module in ("adapters.database.endpoint", "exchange.service.desk", "tests.exchange.service.callers", "numpy.ma"):
        importlib.import_module(module)
    for load in (schemas.record_classes, schemas.code_lists, schemas.profiles, configure_mappers):
        load()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        out, into = os.pipe()
        child = os.fork()
        if child == 0:
            status = CRASHED
            try:
                os.write(into, json.dumps(work(order)).encode())
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        os.close(into)
        with os.fdopen(out, "rb") as reader:
            said = reader.read()
        _, ended = os.waitpid(child, 0)
        answer = {"status": os.waitstatus_to_exitcode(ended), "told": json.loads(said) if said else None}
        print(json.dumps(answer), flush=True)


class Desks:
    """The tests' hold on the serving process."""

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.exchange.service.dying"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)

    def do(self, deed: str, home: Path, point: int = 0, **about: Any) -> dict[str, Any] | None:
        """Let a desk carry out a deed; what the caller was told, None if the desk was killed before."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"deed": deed, "home": str(home), "point": point, **about}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert answer["status"] in (0, -signal.SIGKILL), self._log.read_text()
        told: dict[str, Any] | None = answer["told"]
        return told if answer["status"] == 0 else None


if __name__ == "__main__":
    serve()
