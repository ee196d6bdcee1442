"""Who dies beside the hub's workers: desks, the hub's door under its server, and departments' programmes.

Each is a function that a child of :mod:`tests.exchange.engine.worker` carries out. It dies at the nth point: where
something of the hub has become durable; where a call stands at the door; where a programme has called or committed.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import requests
import zeep
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from adapters.errors import AdapterError
from adapters.webservice.application import Application
from exchange.db import HubDatabase
from exchange.hub import open_hub
from exchange.secrets import VaultWriter
from exchange.service.desk import HubDesk, open_desk
from exchange.service.soap import application
from exchange.settings import load_settings
from tests.exchange.engine.town import person, wrong
from tests.exchange.engine.worker import Passages
from tests.exchange.service import programmes
from tests.exchange.service.callers import CALLER, CODE, PUSHED, PUSHER, pushed, rows


def _durable(passages: Passages) -> None:
    """A file of the vault is under its name, a transaction of the hub is committed."""
    passages.around(VaultWriter, "__exit__")
    transaction = HubDatabase.transaction

    @contextmanager
    def guarded(self: HubDatabase) -> Iterator[Any]:
        with transaction(self) as session:
            yield session
        passages.by()

    setattr(HubDatabase, "transaction", guarded)  # noqa: B010


# --- a desk without a door ---------------------------------------------------------------------


def push(order: dict[str, Any]) -> dict[str, Any]:
    """Push a message of three rows, one of them wrong."""

    def deed(desk: HubDesk) -> dict[str, Any]:
        version = order["version"]
        people = (person(1, version=version), wrong(2, version=version), person(100 + version))
        answer = desk.push(PUSHER, PUSHED, order["message"], pushed(*people))
        return {"state": answer.state, "accepted": answer.accepted, "refused": [each.row for each in answer.refused]}

    return _at_a_desk(order, deed)


def fetch(order: dict[str, Any]) -> dict[str, Any]:
    """Ask on to the end, each page applied by the recipient before the next is asked for."""

    def deed(desk: HubDesk) -> dict[str, Any]:
        cursor, first = None, True
        with Path(order["file"]).open("a", encoding="utf-8") as recipient:
            while first or cursor is not None:
                page = desk.query(CALLER, CODE, cursor, 3)
                recipient.writelines(f"{json.dumps(row, default=str)}\n" for row in rows(page))
                recipient.flush()
                cursor, first = page.following(), False
        return {"state": "fetched"}

    return _at_a_desk(order, deed)


def _at_a_desk(order: dict[str, Any], deed: Callable[[HubDesk], dict[str, Any]]) -> dict[str, Any]:
    with closing(open_hub(Path(order["home"]))) as hub, HubDesk(hub) as desk:
        _durable(Passages(order["point"]))
        try:
            return deed(desk)
        except AdapterError as error:
            return {"state": type(error).__name__}


# --- the door ----------------------------------------------------------------------------------


def door(order: dict[str, Any]) -> None:
    """Be the hub's door under its real server, until somebody ends it or it dies."""
    passages, home = Passages(order["point"]), Path(order["home"])
    if order["durable"]:
        _durable(passages)
    else:
        _calls(passages)
    _beginning(passages)
    serving = application(load_settings(home), open_desk(home), f"http://127.0.0.1:{order['port']}")
    server = Server(
        serving, "127.0.0.1", order["port"], interface=Interfaces.ASGI, http=HTTPModes.http1, websockets=False,
        log_enabled=False,
    )  # fmt: skip
    asyncio.run(server.serve())


def _beginning(passages: Passages) -> None:
    """The first request is the beginning."""
    answer = Application._answer

    async def answering(self: Application, *about: Any) -> None:
        passages.begin()
        await answer(self, *about)

    setattr(Application, "_answer", answering)  # noqa: B010


def _calls(passages: Passages) -> None:
    """A call's body is here; its answer is, which nobody has heard; half of that is sent."""
    called, taken, sent = Application._called, Application._take, Application._send
    heard: set[int] = set()
    """Answers to calls: service descriptions do not count."""

    async def taking(self: Application, *about: Any, **more: Any) -> Any:
        fault = await taken(self, *about, **more)
        passages.by()
        return fault

    async def calling(self: Application, *about: Any) -> Any:
        answer = await called(self, *about)
        heard.add(id(answer))
        passages.by()
        return answer

    async def sending(self: Application, answer: Any, send: Any) -> None:
        async def halved(event: Any) -> None:
            body = event.get("body", b"")
            if body and id(answer) in heard:
                await send({**event, "body": body[: len(body) // 2], "more_body": True})
                # What was written is to be on its way before anybody dies.
                await asyncio.sleep(0.002)
                passages.by()
                event = {**event, "body": body[len(body) // 2 :]}
            await send(event)

        await sent(self, answer, halved)
        heard.discard(id(answer))

    setattr(Application, "_called", calling)  # noqa: B010
    setattr(Application, "_take", taking)  # noqa: B010
    setattr(Application, "_send", sending)  # noqa: B010


# --- programmes --------------------------------------------------------------------------------


class _Own(sqlite3.Connection):
    """A programme's own database."""


def programme(order: dict[str, Any]) -> dict[str, Any]:
    """Be a department's programme; what it says at its end."""
    passages = Passages(order["point"])
    passages.begin()
    passages.around(requests.Session, "request")
    passages.around(_Own, "__exit__")
    setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=_Own))  # noqa: B010
    deed = getattr(programmes, order["deed"])
    try:
        told: dict[str, Any] = deed(**order["about"])
    except (requests.RequestException, zeep.exceptions.Error) as error:
        return {"state": type(error).__name__, "why": str(error)[:200]}
    return told
