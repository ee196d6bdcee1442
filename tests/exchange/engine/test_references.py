from __future__ import annotations

import pyarrow as pa
import pytest

from adapters import Unavailable
from adapters.memory import MemoryEndpoint, MemoryOptions, forget, store
from exchange.engine.references import References
from schemas import Item

ITEMS = (
    Item(name="task_code", label="实施编码", type="C", reference="service_item"),
    Item(name="project_no", label="办件编号", type="C"),
)


@pytest.fixture
def library():
    yield MemoryEndpoint(MemoryOptions(store="references"))
    forget("references")


def table(*codes: str) -> pa.Schema:
    schema = pa.schema([("task_guid", pa.string()), ("task_code", pa.string())])
    rows = [{"task_guid": str(number), "task_code": code} for number, code in enumerate(codes)]
    store("references").create("up_task_general_basic", schema, *rows)
    return schema


def test_what_the_library_holds_is_known_and_nothing_else(library) -> None:
    table("A1", "A2", "A1")
    known = References(library, ITEMS).known("task_code", pa.array(["A1", "B9", "A2"]))
    assert known.to_pylist() == [True, False, True]


def test_before_anybody_published_the_class_nothing_is_known(library) -> None:
    assert References(library, ITEMS).known("task_code", pa.array(["A1"])).to_pylist() == [False]


def test_a_library_out_of_reach_is_not_an_empty_one(library, monkeypatch) -> None:
    def away(*_: object) -> None:
        raise Unavailable("基础库连不上")

    monkeypatch.setattr(library, "source", away)
    with pytest.raises(Unavailable):
        References(library, ITEMS)
