from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from adapters.base import Binding
from adapters.database.capture import Window, _earlier
from adapters.database.dialects import dialect
from adapters.database.shapes import Column, TableShape
from adapters.errors import Malformed
from schemas import Profile, profile
from tests.adapters.database.test_source import BATCHES, OUTBOX

NAMES = ("id", "v", "flag", "ver", "datastate", "cd_batch", "cd_time", "row_guid", "cd_operation", "shutong_serial")
SHAPE = TableShape(
    name="t",
    namespace=None,
    columns={
        name: Column(name=name, family="integer" if name in ("v", "ver") else "text", declared="", type=sa.Text())
        for name in NAMES
    },
)
BOUND = Binding(object="t", columns={"id": "id", "v": "v"}, key=("id",), version="v")


def window(capture: str, family: Profile | None = None, shape: TableShape = SHAPE) -> Window:
    binding = replace(BOUND, capture=capture, profile=family)  # type: ignore[arg-type]
    return Window(dialect("sqlite"), binding, shape, overlap=600)


def test_what_tells_a_row_as_it_was_read() -> None:
    def identity(*arguments: object) -> list[str]:
        return [column.name for column in window(*arguments).identity]  # type: ignore[arg-type]

    assert identity("snapshot") == ["id"]
    assert identity("journal", OUTBOX) == ["id"]
    assert identity("outbox", OUTBOX) == ["id", "v", "ver", "flag"]
    assert identity("batches", BATCHES) == ["id", "cd_time", "cd_batch", "row_guid"]


def test_a_table_of_the_family_may_lack_the_rows_identifier() -> None:
    """As the users' and the licences' tables of the national family do."""
    columns = {name: column for name, column in SHAPE.columns.items() if name != "row_guid"}
    made = window("batches", profile("national"), replace(SHAPE, columns=columns))
    assert [column.name for column in made.identity] == ["id", "cd_time", "cd_batch"]
    assert len(made.order()) == 6


def test_a_window_starts_where_the_last_one_ended() -> None:
    assert window("snapshot").since({"serial": 5}) == []
    assert window("journal").since(None) == []
    assert str(window("journal").since({"serial": 5})[0].compile(compile_kwargs={"literal_binds": True})).endswith(
        "> 5"
    )
    [low] = window("batches", BATCHES).since({"time": "2024-01-01 08:10:00"})
    assert "'2024-01-01 08:00:00'" in str(low.compile(compile_kwargs={"literal_binds": True}))
    assert window("batches", BATCHES).since({"batch": "x"}) == []
    with pytest.raises(Malformed):
        window("journal").since({"serial": "5"})


@pytest.mark.parametrize(
    ("time", "low"),
    [
        ("2024-01-01 00:05:00", "2023-12-31 23:55:00"),
        ("2024-01-01T00:05:00.5", "2023-12-31 23:55:00.500000"),
        ("2024-01-01 00:05:00+08:00", "2023-12-31 23:55:00+08:00"),
        ("20240101", "20240101"),
        ("20240101000500", "20240101000500"),
        ("some text of many letters", "some text of many letters"),
        ("0001-01-01 00:00:00", "0001-01-01 00:00:00"),
    ],
)
def test_the_overlap_is_taken_off_what_is_a_time(time: str, low: str) -> None:
    assert _earlier(time, window("batches", BATCHES)._overlap) == low


def test_what_is_unread_and_what_is_deleted() -> None:
    def sql(*clauses: sa.ColumnElement[object]) -> str:
        return " ".join(str(each.compile(compile_kwargs={"literal_binds": True})) for each in clauses)

    unread = sql(*window("outbox", OUTBOX).standing())
    assert "t.flag IS NULL" in unread
    assert "'0'" in unread
    assert sql(*window("snapshot", OUTBOX).standing()) == ""
    assert "'d'" in sql(window("snapshot", OUTBOX).operation())
    assert "CASE" not in sql(window("journal", OUTBOX).operation())
    nothing_new = OUTBOX.model_copy(update={"state": OUTBOX.state.model_copy(update={"new": ()})})  # type: ignore[union-attr]
    assert "false" in sql(*window("outbox", nothing_new).standing()).lower() or "0 = 1" in sql(
        *window("outbox", nothing_new).standing()
    )
