"""Workers that run one exchange and kill or stop themselves at a named point, the nth time they come by.

One process imports everything and forks a child for each order it reads from its standard input, so
that a death costs no start of Python. Points are the steps the engine tells its observer, and

``target:N``
    after the Nth statement from the ledger row to the end of the target transaction, those left out that only
    look tables up,
``settle:N``
    after the Nth statement that changes anything, in the hub or outside, once the delivery is promoted; what
    is only written into the log or told goes with the change it belongs to,
``any:N``
    after the Nth statement of all, in the hub and outside,
``before:N``
    before it,
``outside:N``
    after the Nth time that a file of the hub's own appeared or went, or a service was called,
``meet``
    nowhere: all workers that were started together wait for each other when they have planned, and whoever gets the
    lease for all others to end,
``after:S``
    S seconds after its birth, by its parent's hand, wherever it is then.

A worker ends with the exit status of its error, 0 if there was none, or by the signal it died of.

What else is to die in its own way is a function of another module (``work``, as ``module:function``) which takes the
order; what it returns is told. A service stays until it is ended.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.orm import configure_mappers

import schemas
from adapters.database.sink import DatabaseDelivery
from adapters.webservice.http import Line
from exchange.audit.heads import Heads
from exchange.db import HubDatabase
from exchange.secrets import Vault, VaultWriter
from tests.support.compiled import compiled_once

ROOT = Path(__file__).resolve().parents[3]
CRASHED = 99
ENDED = signal.SIGUSR1
"""What ends a service that has not died by itself."""
EVERYWHERE = ("any", "before")
"""Points that count every statement."""
_LOOKS_UP = re.compile(r"^\s*(PRAGMA|SHOW|DESCRIBE)|pragma_|sqlite_master|pg_catalog|information_schema", re.IGNORECASE)
_TOLD = re.compile(r"\b(event|notice)\b")


class Counter:
    """Counts statements from the moment it is armed, and strikes after the nth."""

    def __init__(self, kind: str, number: int, strike: Callable[[], None]) -> None:
        self._kind = kind
        self._left = number
        self._strike = strike
        self._armed = self._in_commit = False

    def step(self, name: str) -> None:
        """The engine tells where it is."""
        if self._kind == "settle":
            self._armed = name == "8.promoted"
        elif name == "7.committed":
            self._armed = False
        self._in_commit = name == "7.commit"

    def executed(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        """A statement was carried out, or is about to be."""
        word = statement.lstrip().partition(" ")[0].upper()
        if self._kind == "target" and self._in_commit and word == "INSERT" and "shutong_ledger" in statement:
            self._armed = True
        if self._kind in EVERYWHERE:
            self._armed = changes = True
        elif self._kind == "target":
            changes = not _LOOKS_UP.search(statement)
        else:
            changes = word in {"INSERT", "UPDATE", "DELETE", "CREATE", "DROP"} and not _TOLD.search(statement)
        # The heartbeat has a thread of its own.
        if self._armed and changes and threading.current_thread() is threading.main_thread():
            self._left -= 1
            if self._left == 0:
                self._strike()


def _killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Passages:
    """Counts what comes by a place, on any thread but those that watch over a hub, and kills at the nth.

    Args:
        point: Which time is the last, 0: there is none; or ``after:S``: S seconds after it begins, wherever it is then.
        strike: What then happens.
    """

    def __init__(self, point: int | str, strike: Callable[[], object] = _killed) -> None:
        self._left = point if isinstance(point, int) else 0
        self._seconds = None if isinstance(point, int) else float(point.removeprefix("after:"))
        self._strike = strike
        self._lock = threading.Lock()

    def begin(self) -> None:
        """It begins, unless it has begun before."""
        with self._lock:
            seconds, self._seconds = self._seconds, None
        if seconds is not None:
            timer = threading.Timer(seconds, self._strike)
            timer.daemon = True
            timer.start()

    def by(self) -> None:
        """Something comes by."""
        if threading.current_thread().name.partition(" ")[0] in ("heartbeat", "sealer"):
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self._strike()

    def around(self, owner: type, *names: str) -> None:
        """From now on the end of a call of a method comes by: before it, all is as it was after the one before."""
        for name in names:
            setattr(owner, name, self._passing(getattr(owner, name)))

    def _passing(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            result = method(*arguments, **named)
            self.by()
            return result

        return call


def _quiet(strike: signal.Signals) -> Callable[[], None]:
    """A way to strike that does not stop the other threads with a database or the file of heads in their hands."""
    transaction, lock = HubDatabase.transaction, threading.RLock()

    @contextmanager
    def guarded(self: HubDatabase) -> Iterator[Any]:
        with lock, transaction(self) as session:
            yield session

    def stop() -> None:
        with lock:
            os.kill(os.getpid(), strike)

    def held(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            with lock:
                return method(*arguments, **named)

        return call

    setattr(HubDatabase, "transaction", guarded)  # noqa: B010
    setattr(DatabaseDelivery, "stage", held(DatabaseDelivery.stage))  # noqa: B010
    setattr(Heads, "append", held(Heads.append))  # noqa: B010
    return stop


def work(order: dict[str, Any]) -> int:
    """Carry out one order in this process; the exit status."""
    from exchange.errors import HubError
    from exchange.hub import open_hub
    from exchange.identity import current_actor

    hub = open_hub(Path(order["home"]))
    strike = _quiet(signal.Signals[order["strike"]])
    kind, _, number = order["point"].partition(":")
    counter = Counter(kind, int(number) if number and kind != "after" else 0, strike)
    seen = 0

    def observe(step: str, _figures: dict[str, Any]) -> None:
        nonlocal seen
        counter.step(step)
        if order["point"] == "meet":
            _meet(Path(order["meeting"]), step, order["among"])
        seen += step == order["point"]
        if step == order["point"] and seen == order["occurrence"]:
            strike()

    if kind == "outside":
        passages = Passages(int(number), strike)
        passages.around(VaultWriter, "__exit__")
        passages.around(Vault, "remove")
        passages.around(Line, "_asked")
    elif number and kind != "after":
        moment = "before_cursor_execute" if kind == "before" else "after_cursor_execute"
        sa.event.listen(sa.Engine, moment, counter.executed)
    by = current_actor(hub.settings, "integrator")
    try:
        if order["does"]:
            name, *arguments = order["does"]
            getattr(hub.engine, name)(*arguments, by=by, observe=observe)
        elif order["asks"]:
            counter.step("8.promoted")
            hub.answers.ask(order["asks"], by=by)
        else:
            hub.oversight.run(order["exchange"], by=by, observe=observe, **order["options"])
    except HubError as error:
        print(f"{type(error).__name__}: {error.message}", file=sys.stderr, flush=True)
        return error.status
    finally:
        hub.close()
        if order["point"] == "meet":
            _note(Path(order["meeting"]), "ended")
    return 0


def _note(meeting: Path, what: str) -> None:
    (meeting / f"{what}-{os.getpid()}").touch()


def _meet(meeting: Path, step: str, among: int) -> None:
    """Wait for the others, at the two steps where they are waited for."""
    if step not in ("1.planned", "2.leased"):
        return
    word, many = ("planned", among) if step == "1.planned" else ("ended", among - 1)
    if step == "1.planned":
        _note(meeting, word)
    deadline = time.monotonic() + 30
    while len(list(meeting.glob(f"{word}-*"))) < many:
        assert time.monotonic() < deadline, "the others did not come"
        time.sleep(0.01)


def _import_everything(*modules: str) -> None:
    """Load what a run loads, so that no child has to."""
    for module in ("adapters.database.endpoint", "adapters.webservice.endpoint", "exchange.hub", "numpy.ma", *modules):
        importlib.import_module(module)
    for url in ("sqlite://", "postgresql+psycopg://", "mariadb+pymysql://"):
        sa.create_engine(url)
    for load in (schemas.record_classes, schemas.code_lists, schemas.profiles, configure_mappers):
        load()


def _rehearse() -> None:
    """Carry both exchanges of a town out once: no child then compiles what is asked of a hub, or loads what is left."""
    from tests.exchange.engine.town import build, person

    with TemporaryDirectory() as place:
        urls = {name: f"sqlite:///{place}/{name}.db" for name in ("police", "library", "tax")}
        with closing(build(Path(place, "home"), urls)) as town:
            town.report(*(person(number) for number in range(3)))
            town.run_both()


def serve(*modules: str) -> None:
    """Read orders, fork a child for each, answer how it ended or that it stopped."""
    _import_everything(*modules)
    with compiled_once():
        _rehearse()
        _serve()


def _serve() -> None:
    # Children then share the memory of what is loaded, instead of copying it to count references.
    gc.collect()
    gc.disable()
    gc.freeze()
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "stay":
            print(json.dumps([{"pid": _born(asked["order"]), "status": 0}]), flush=True)
            continue
        if asked["do"] == "start":
            children = {_born(order): _deadline(order) for order in asked["orders"]}
        elif asked["do"] == "end":
            children = {asked["pid"]: None}
            if asked["pid"] not in _GONE:
                os.kill(asked["pid"], ENDED)
        else:
            children = {asked["pid"]: None}
            os.kill(asked["pid"], signal.SIGCONT)
        ended = _attended(children)
        answer = [{"pid": child, "status": ended[child]} for child in children]
        print(json.dumps(answer), flush=True)


def _born(order: dict[str, Any]) -> int:
    """A child that carries an order out."""
    if child := os.fork():
        return child
    status = CRASHED
    try:
        status = work(order) if "work" not in order else _told(order)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _told(order: dict[str, Any]) -> int:
    """Carry out an order of another module; what it has to say is in the file that the order names."""
    module, _, name = order["work"].partition(":")
    said = getattr(importlib.import_module(module), name)(order)
    Path(order["told"]).write_text(json.dumps(said), encoding="utf-8")
    return 0


_GONE: dict[int, int] = {}
"""How services ended that died while somebody else was waited for."""


def _deadline(order: dict[str, Any]) -> float | None:
    """When a child is killed, whatever it is at."""
    kind, _, seconds = order["point"].partition(":") if "work" not in order else ("", "", "")
    return time.monotonic() + float(seconds) if kind == "after" else None


def _attended(children: dict[int, float | None]) -> dict[int, int | None]:
    """How children end, or that they stop themselves, each killed at its deadline."""
    ended: dict[int, int | None] = {child: _GONE.pop(child) for child in children.keys() & _GONE.keys()}
    waiting = {child: deadline for child, deadline in children.items() if child not in ended}
    while waiting:
        soon = any(deadline is not None for deadline in waiting.values())
        child, status = os.waitpid(-1, os.WUNTRACED | (os.WNOHANG if soon else 0))
        if child == 0:
            time.sleep(0.001)
        elif child in waiting:
            del waiting[child]
            ended[child] = None if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)
        elif not os.WIFSTOPPED(status):
            _GONE[child] = os.waitstatus_to_exitcode(status)
        for pid, deadline in list(waiting.items()):
            if deadline is not None and time.monotonic() >= deadline:
                os.kill(pid, signal.SIGKILL)
                waiting[pid] = None
    return ended


class Workers:
    """The tests' hold on a serving process.

    Args:
        log: File for what the workers have to say of their errors.
        modules: What is imported once besides, for work of theirs.
    """

    def __init__(self, log: Path, *modules: str) -> None:
        self.stopped = 0
        """The worker that stopped itself last and was not woken."""
        self._staying: set[int] = set()
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.exchange.engine.worker", *modules],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.stopped:
            os.kill(self.stopped, signal.SIGKILL)
        for pid in list(self._staying):
            self.end(pid)
        self._process.communicate(timeout=30)

    @property
    def said(self) -> str:
        """What the workers wrote about their errors."""
        return self._log.read_text()

    def run(
        self, home: Path, exchange: str, point: str = "", occurrence: int = 1, strike: str = "SIGKILL", **options: Any
    ) -> int | None:
        """Let a worker run an exchange; its exit status, negative for a signal, None if it stopped itself.

        With ``asks`` it asks what became of that delivery instead; its points are those of ``settle``. With ``does``,
        a method of the engine and what it is given, it does that.
        """
        [answer] = self._ask(do="start", orders=[_order(home, exchange, point, occurrence, strike, options)])
        status: int | None = answer["status"]
        self.stopped = self.stopped if status is not None else answer["pid"]
        return status

    def together(self, home: Path, exchange: str, *points: str) -> list[int]:
        """Let as many workers as points are given run an exchange at once, each to die at its own; how each ended."""
        with TemporaryDirectory() as meeting:
            orders = [_order(home, exchange, point, 1, "SIGKILL", {}) for point in points]
            orders = [{**order, "meeting": meeting, "among": len(points)} for order in orders]
            return [answer["status"] for answer in self._ask(do="start", orders=orders)]

    def wake(self) -> int:
        """Let the worker that stopped itself last go on to its end; its exit status."""
        woken, self.stopped = self.stopped, 0
        [answer] = self._ask(do="wake", pid=woken)
        status: int = answer["status"]
        return status

    def do(self, work: str, point: int | str = 0, **about: Any) -> tuple[int, Any]:
        """Let somebody carry out a function; how it ended, and what it told if it came to that."""
        told = self._log.with_suffix(".told")
        told.unlink(missing_ok=True)
        [answer] = self._ask(do="start", orders=[{"work": work, "point": point, "told": str(told), **about}])
        return answer["status"], json.loads(told.read_text(encoding="utf-8")) if told.exists() else None

    def stay(self, work: str, port: int, point: int | str = 0, **about: Any) -> int:
        """Let a service run that is a function; its process, once it can be connected to."""
        order = {"work": work, "port": port, "point": point, "told": os.devnull, **about}
        [answer] = self._ask(do="stay", order=order)
        self._staying.add(answer["pid"])
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            except OSError:
                assert time.monotonic() < deadline, self.said
                time.sleep(0.005)
            else:
                return int(answer["pid"])

    def end(self, pid: int) -> bool:
        """End a service; whether it had been killed before."""
        self._staying.discard(pid)
        [answer] = self._ask(do="end", pid=pid)
        assert answer["status"] in (-signal.SIGKILL, -ENDED), self.said
        return bool(answer["status"] == -signal.SIGKILL)

    def _ask(self, **order: Any) -> list[dict[str, Any]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answers: list[dict[str, Any]] = json.loads(self._process.stdout.readline())
        assert CRASHED not in [answer["status"] for answer in answers], self.said
        return answers


def _order(
    home: Path, exchange: str, point: str, occurrence: int, strike: str, options: dict[str, Any]
) -> dict[str, Any]:
    return {
        "home": str(home), "exchange": exchange, "point": point, "occurrence": occurrence, "strike": strike,
        "asks": options.pop("asks", ""), "does": options.pop("does", ()), "options": options,
    }  # fmt: skip


if __name__ == "__main__":
    serve(*sys.argv[1:])
