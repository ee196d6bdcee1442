"""The housing office's programme pushes what was reported, once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import zeep

from adapters.webservice.desk import Offer
from exchange.demo.fronts import Service
from exchange.demo.pusher import push
from schemas import Item
from tests.adapters.webservice.memory_desk import TOKEN, MemoryDesk
from tests.exchange.demo.eyes import query
from tests.exchange.service.test_soap import Served, serving

CODE = "105001001/0002"
ITEMS = (Item(name="id", label="编号", type="C", length=8), Item(name="name", label="名称", type="M"))
OFFER = Offer(resource=CODE, version=3, name="证照", direction="write", items=ITEMS, key=("id",))
NOTHING = {"state": "nothing", "rows": 0, "accepted": 0, "refused": [], "receipt": None}


def open_desk(_: Path) -> MemoryDesk:
    """A desk that takes rows whose number is one."""
    return MemoryDesk(published=[OFFER])


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr("tests.exchange.service.test_soap.DESK", f"{__name__}:open_desk")
    with serving(tmp_path / "home", workers=1) as found:
        yield found


def test_each_row_is_pushed_once_and_what_is_refused_is_told(served: Served, tmp_path: Path) -> None:
    own = tmp_path / "own.db"
    service = Service(own, ["id", "name"])
    assert push(served.address, CODE, TOKEN, own) == NOTHING
    service.report([{"id": "1", "name": "𠮷"}, {"id": "x"}, {"id": "3"}])
    first = {
        "state": "delivered", "rows": 3, "accepted": 2, "refused": [[2, "不是整数 <&>"]], "receipt": "R-licences-1-3",
    }  # fmt: skip
    assert push(served.address, CODE, TOKEN, own) == first
    assert push(served.address, CODE, TOKEN, own) == NOTHING
    # Its answer was lost, and more was reported: the same message again, and the same answer.
    with closing(sqlite3.connect(own)) as connection, connection:
        connection.execute("UPDATE pushed SET answered = 0")
    service.report([{"id": "4"}])
    assert push(served.address, CODE, TOKEN, own) == first
    assert push(served.address, CODE, TOKEN, own)["receipt"] == "R-licences-4-4"
    assert [(row["first"], row["last"]) for row in query(own, "SELECT * FROM pushed")] == [(1, 3), (4, 4)]


def test_what_was_not_taken_stays_to_be_pushed(served: Served, tmp_path: Path) -> None:
    own = tmp_path / "own.db"
    Service(own, ["id", "name"]).report([{"id": "1"}])
    with pytest.raises(zeep.exceptions.Fault, match="凭据"):
        push(served.address, CODE, "wrong", own)
    with pytest.raises(LookupError, match="not among"):
        push(served.address, "other/1", TOKEN, own)
    assert query(own, "SELECT * FROM pushed") == [{"first": 1, "last": 1, "answered": 0}]
    assert push(served.address, CODE, TOKEN, own)["accepted"] == 1
