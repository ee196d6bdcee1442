from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.checks import examination
from exchange.checks.examination import Examined, examine
from exchange.checks.findings import RULES
from exchange.errors import Red
from schemas import arrow_schema
from tests.exchange.checks.rows import SHANGHAI, TODAY, batch, code_lists, item

ITEMS = (
    item("id", length=18, mandatory=True, check="identity_number"),
    item("name", length=8, mandatory=True),
    item("sex", code_list="sex"),
    item("birth", "D"),
    item("org", length=18, check="credit_code"),
    item("project", check="project_code"),
    item("licence", check="licence_identifier"),
    item("amount", "Y", length=10),
    item("count", "I"),
    item("ratio", "B"),
    item("alive", "L"),
    item("note", "M", length=20),
    item("file", "G"),
    item("version", "I"),
    item("updated", "T", mandatory=True),
)
LISTS = code_lists(sex=["1", "2"])
FINE: dict[str, str | None] = {
    "id": "11010519491231002X",
    "name": "张三",
    "sex": "1",
    "birth": "1949-12-31",
    "org": "91350100M000100Y43",
    "project": "2602-411102-04-04-398932",
    "licence": "1.2.156.3005.2.11100000MB03271699022.340100.000000016.001.9",
    "amount": "12.50",
    "count": "7",
    "ratio": "0.5",
    "alive": "1",
    "note": "备注",
    "file": "QUJD",
    "version": "3",
    "updated": "2025-01-02 13:05:00",
}


def source(rows: list[dict[str, str | None]], operations: list[int] | None = None) -> pa.RecordBatch:
    columns = {given.name: pa.array([row[given.name] for row in rows], pa.string()) for given in ITEMS}
    return batch(operations if operations is not None else [0] * len(rows), **columns)


def looked_at(given: pa.RecordBatch) -> Examined:
    return examine(given, ITEMS, ("id",), "version", SHANGHAI, TODAY, code_lists=LISTS)


def test_a_batch_is_parted_in_two() -> None:
    given = source([FINE, FINE | {"sex": "9", "count": "x"}, FINE, FINE | {"id": None}])
    found = looked_at(given)
    assert found.accepted_rows.to_pylist() == [0, 2]
    assert found.refused_rows.to_pylist() == [1, 3]
    assert found.accepted.schema.names == [*(i.name for i in ITEMS), "_operation", "_reference"]
    assert pa.schema(list(found.accepted.schema)[:-2]).equals(arrow_schema(ITEMS), check_metadata=True)
    assert found.accepted.column("_reference").to_pylist() == ["r0", "r2"]
    assert found.refused.equals(given.take(pa.array([1, 3])))
    assert [(f.row, f.item, f.rule) for f in found.findings] == [
        (1, "count", "type"),
        (1, "sex", "code_list"),
        (3, "id", "key"),
    ]


def test_nothing_comes_of_nothing() -> None:
    found = looked_at(source([]))
    assert (found.accepted.num_rows, found.refused.num_rows, found.findings) == (0, 0, [])


def test_a_deletion_needs_its_key_and_version_only() -> None:
    nothing: dict[str, str | None] = dict.fromkeys(FINE)
    rows = [
        nothing | {"id": FINE["id"], "version": "1"},
        nothing | {"id": FINE["id"], "version": "1", "birth": "x", "org": "y"},
        nothing | {"id": FINE["id"]},
        nothing | {"id": "11010519491231002Y", "version": "1"},
        nothing | {"version": "1"},
    ]
    found = looked_at(source(rows, [1] * 5))
    assert found.accepted_rows.to_pylist() == [0, 1]
    assert [(f.row, f.rule) for f in found.findings] == [(2, "version"), (3, "identity_number"), (4, "key")]


texts = st.none() | st.text(max_size=8) | st.sampled_from(["暂无", "", " ", "1", "2025-02-30", "a\0"])
cells = st.fixed_dictionaries({name: st.just(value) | texts for name, value in FINE.items()})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(cells | st.just(FINE), st.sampled_from([0, 0, 1])), max_size=8), st.integers(0, 3))
def test_no_row_is_lost_and_none_is_changed(rows: list[tuple[dict[str, str | None], int]], start: int) -> None:
    given = source([row for row, _ in rows], [operation for _, operation in rows]).slice(min(start, len(rows)))
    found = looked_at(given)
    accepted, refused = found.accepted_rows.to_pylist(), found.refused_rows.to_pylist()
    assert sorted(accepted + refused) == list(range(given.num_rows))
    assert accepted == sorted(accepted)
    assert refused == sorted(refused)
    found.accepted.validate(full=True)
    assert found.accepted.column("_reference").to_pylist() == [given["_reference"][row].as_py() for row in accepted]
    assert found.refused.equals(given.take(pa.array(refused, pa.int64())))
    assert {f.row for f in found.findings} == set(refused)
    assert len({(f.row, f.item) for f in found.findings}) == len(found.findings)
    # Every row is judged alone: its neighbours do not matter.
    for row in range(given.num_rows):
        alone = looked_at(given.slice(row, 1))
        assert alone.accepted.num_rows == (row in accepted)
        assert [(f.item, f.rule, f.reason) for f in alone.findings] == [
            (f.item, f.rule, f.reason) for f in found.findings if f.row == row
        ]
        if row in accepted:
            assert alone.accepted.equals(found.accepted.slice(accepted.index(row), 1))


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(dict.fromkeys(FINE, st.text("ABxyz二甲#@", min_size=2, max_size=30) | st.just("77777777777")))
)
def test_no_reason_carries_the_value(row: dict[str, Any]) -> None:
    found = looked_at(source([row])).findings
    assert found
    for finding in found:
        assert row[finding.item] not in finding.reason
        assert finding.rule in RULES


def test_accepted_rows_are_accepted_again_unchanged() -> None:
    first = looked_at(source([FINE])).accepted
    plain = pa.RecordBatch.from_arrays(first.columns, names=first.schema.names)
    again = looked_at(plain).accepted
    assert again.to_pylist() == first.to_pylist()


def test_rows_that_do_not_add_up_stop_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pc, "invert", lambda flags: flags)
    with pytest.raises(Red, match="行数不符"):
        examination.examine(batch(a=["1", "2"]), [item("a")], ("a",), None, SHANGHAI, TODAY)
