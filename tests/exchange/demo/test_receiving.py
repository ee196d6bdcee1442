"""The housing office's own service keeps what it is sent, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from adapters.base import DELETE, OPERATION, PUT
from adapters.errors import Refused
from adapters.webservice.desk import Caller, Password, RefusedPush, Token
from exchange.demo import receiving
from exchange.demo.city import HOUSING
from exchange.demo.receiving import RESOURCE, USER, Receiver, Tally, held, tally
from tests.exchange.demo.eyes import query

CALLER = Caller(USER, USER)


@pytest.fixture
def desk(tmp_path: Path) -> Receiver:
    receiving.establish(tmp_path / "housing", HOUSING, "p-secret")
    return receiving.open_desk(tmp_path / "housing")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "housing"


def message(*rows: tuple[str | None, str | None, int]) -> Iterator[pa.RecordBatch]:
    """Rows as guid, name and operation, each a batch of its own."""
    (offer,) = Receiver.offers(None, CALLER)  # type: ignore[arg-type]  # it offers the same to everybody
    names = [item.name for item in offer.items]
    for guid, name, operation in rows:
        texts = {each: {"task_guid": guid, "task_name": name}.get(each) for each in names}
        batch = pa.RecordBatch.from_pylist([texts], pa.schema([(each, pa.string()) for each in names]))
        yield batch.append_column(OPERATION, pa.array([operation], pa.int8()))


def test_only_its_user_is_let_in(desk: Receiver, folder: Path) -> None:
    assert desk.identify(Password(USER, "p-secret"), "::1") == CALLER
    for shown in (Password(USER, "wrong"), Password("other", "p-secret"), Password("other", ""), Token("p-secret")):
        with pytest.raises(Refused, match="不正确"):
            desk.identify(shown, "::1")
    assert folder.joinpath("password").stat().st_mode & 0o777 == 0o600
    assert folder.joinpath("department").read_text() == HOUSING


def test_a_message_is_taken_once_and_another_content_not_at_all(desk: Receiver, folder: Path) -> None:
    sent = [("g1", "一", PUT), ("g2", "二", PUT)]
    first = desk.push(CALLER, RESOURCE, "d-s-1", message(*sent))
    assert (first.state, first.rows, first.accepted, first.repeated) == ("delivered", 2, 2, False)
    again = desk.push(CALLER, RESOURCE, "d-s-1", message(*sent))
    assert (again.accepted, again.repeated) == (2, True)
    with pytest.raises(Refused, match="内容不同"):
        desk.push(CALLER, RESOURCE, "d-s-1", message(("g1", "另", PUT)))
    assert desk.status(CALLER, "d-s-1") == first
    assert tally(folder, "d") == Tally(1, 2, 0)
    assert [row["task_name"] for row in query(folder / "received.db", "SELECT * FROM service_item")] == ["一", "二"]
    with pytest.raises(Refused, match="没有这个消息"):
        desk.status(CALLER, "d-s-9")


def test_rows_are_changed_and_taken_out(desk: Receiver, folder: Path) -> None:
    desk.push(CALLER, RESOURCE, "d-1", message(("g1", "一", PUT), ("g2", "二", PUT)))
    answer = desk.push(CALLER, RESOURCE, "e-1", message(("g1", "新", PUT), ("g2", None, DELETE), ("g3", None, DELETE)))
    assert answer.accepted == 3, "what is not there is gone already"
    found = query(folder / "received.db", "SELECT id, task_name FROM service_item")
    assert found == [{"id": "g1", "task_name": "新"}]
    assert held(folder) == 1
    assert (tally(folder, "d"), tally(folder, "e"), tally(folder, "f")) == (
        Tally(1, 2, 0),
        Tally(1, 1, 2),
        Tally(0, 0, 0),
    )


def test_a_row_without_a_key_is_refused_alone(desk: Receiver, folder: Path) -> None:
    answer = desk.push(CALLER, RESOURCE, "d-1", message(("g1", "一", PUT), (None, "二", PUT), ("", "三", PUT)))
    assert (answer.rows, answer.accepted) == (3, 1)
    assert answer.refused == tuple(RefusedPush(n, "task_guid", "mandatory", "没有主键") for n in (2, 3))
    assert desk.status(CALLER, "d-1").refused == answer.refused
    assert (held(folder), tally(folder, "d")) == (1, Tally(1, 1, 0))


def test_a_message_that_breaks_off_leaves_nothing(desk: Receiver, folder: Path) -> None:
    def breaking() -> Iterator[pa.RecordBatch]:
        yield from message(("g1", "一", PUT))
        raise Refused("断了")

    with pytest.raises(Refused, match="断了"):
        desk.push(CALLER, RESOURCE, "d-1", breaking())
    assert (held(folder), tally(folder, "d")) == (0, Tally(0, 0, 0))


def test_it_only_takes(desk: Receiver) -> None:
    assert desk.offer(CALLER, RESOURCE, "write").key == ("task_guid",)
    assert desk.contract(RESOURCE, 2, "write") is None
    for ask in (
        lambda: desk.offer(CALLER, RESOURCE, "read"),
        lambda: desk.offer(CALLER, "other", "write"),
        lambda: desk.query(CALLER, RESOURCE, None, 1),
        lambda: desk.lookup(CALLER, RESOURCE, {"task_guid": "g1"}),
        lambda: desk.receipt(CALLER, "R1"),
    ):
        with pytest.raises(Refused):
            ask()
