"""What a target holds, in the types of its delivery."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from adapters import OPERATION, PUT, REFERENCE
from exchange.engine.readback import ODD, Readback
from exchange.plan import End, Plan, Tolerance
from schemas import Item

ITEMS = (
    Item(name="id", label="号", type="C", length=18, check="identity_number", mandatory=True),
    Item(name="code", label="码", type="C", code_list="sex"),
    Item(name="day", label="日", type="D"),
    Item(name="at", label="时", type="T"),
    Item(name="sum", label="额", type="Y", length=10),
    Item(name="many", label="数", type="I"),
    Item(name="yes", label="否", type="L"),
)


def plan(**masks: Any) -> Plan:
    end = End(endpoint="e", object="o", columns={item.name: item.name for item in ITEMS})
    return Plan(
        exchange="x", kind="sharing", way="database", record_class="", resource="r", resource_version=1, grant="g",
        grant_version=1, purpose={}, provider="p", recipient="q", items=ITEMS, deliver=tuple(i.name for i in ITEMS),
        key=("id",), version=None, filter=None, masks=masks, source=end, target=end, full=True, overwrite=True,
        tolerance=Tolerance(), guarantee="exactly once", batch_rows=10, digest_algorithm="sha256", remarks=(),
    )  # fmt: skip


def read(rows: list[dict[str, Any]], **masks: Any) -> pa.RecordBatch:
    columns = [pa.array([row.get(item.name) for row in rows], pa.string()) for item in ITEMS]
    reserved = [pa.array([PUT] * len(rows), pa.int8()), pa.array(["?"] * len(rows))]
    batch = pa.record_batch([*columns, *reserved], names=[*(item.name for item in ITEMS), OPERATION, REFERENCE])
    return Readback(plan(**masks), "Asia/Shanghai").typed(batch)


def test_texts_of_a_place_become_values_of_their_types() -> None:
    made = read(
        [{"id": "1", "code": "1", "day": "2020-02-29", "at": "2020-01-01 08:00:00", "sum": "1.50", "many": "7"}]
    )
    (row,) = made.to_pylist()
    assert row["day"] == date(2020, 2, 29)
    assert row["at"] == datetime(2020, 1, 1, tzinfo=UTC)
    assert str(row["sum"]) == "1.50"
    assert (row["many"], row["yes"], row[ODD]) == (7, None, None)


def test_text_is_taken_to_the_last_blank() -> None:
    made = read([{"id": " 32x ", "code": "男 "}])
    assert made.column("id").to_pylist() == [" 32x "]
    assert made.column("code").to_pylist() == ["男 "]


@pytest.mark.parametrize(("item", "text"), [("day", "暂无"), ("many", "seven"), ("sum", "1.555"), ("yes", "-")])
def test_what_is_not_of_its_type_is_named(item: str, text: str) -> None:
    made = read([{"id": "1"}, {"id": "2", item: text, "at": "never"}])
    assert made.column(item).to_pylist() == [None, None]
    assert made.column(ODD)[0].as_py() is None
    assert set(made.column(ODD)[1].as_py().strip(",").split(",")) == {item, "at"}


def test_masked_items_have_the_types_of_their_masks() -> None:
    made = read([{"id": "ab", "many": "ff", "day": "2020-01-01"}], id={"mask": "hmac"}, many={"mask": "hmac"})
    assert made.column("many").to_pylist() == ["ff"]
    assert made.schema.field("many").type == pa.string()
    assert made.column("day").to_pylist() == [date(2020, 1, 1)]
