"""The passage of a batch: only what the grant allows leaves, and every row read is accounted for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import DELETE, OPERATION, PUT, Binding, Claim, Sink
from adapters import Manifest as CommitManifest
from adapters.memory import MemoryEndpoint, MemoryOptions, forget, store
from exchange.engine.manifest import NUMBER
from exchange.engine.passage import Passage, Passed, delivered_schema
from exchange.plan import End, Plan, Replay, Tolerance
from schemas import Item
from tests.exchange.checks.rows import SHANGHAI, TODAY, batch
from tests.exchange.engine.town import identity_number

HERE, AWAY = "321202", "321283"
ITEMS = (
    Item(name="id_no", label="证件号码", type="C", length=18, mandatory=True, check="identity_number"),
    Item(name="name", label="姓名", type="C", length=8, mandatory=True, grade="personal"),
    Item(name="born", label="出生日期", type="D"),
    Item(name="ver", label="版本", type="I", mandatory=True),
    Item(name="district", label="所在区", type="C", length=6),
)
DELIVERED = ("id_no", "name", "born", "ver")
FILTER = {"item": "district", "is": HERE}


def plan(**changes: Any) -> Plan:
    end = End(endpoint="e", object="person", columns={item.name: item.name for item in ITEMS})
    given: dict[str, Any] = {
        "exchange": "share-1", "kind": "sharing", "way": "database", "record_class": "", "resource": "101001001/0001",
        "resource_version": 1, "grant": "G1", "grant_version": 1, "purpose": {}, "provider": "P", "recipient": "R",
        "items": ITEMS, "deliver": DELIVERED, "key": ("id_no",), "version": "ver", "filter": FILTER,
        "masks": {"name": {"mask": "name"}}, "source": end, "target": end, "full": True, "overwrite": True,
        "tolerance": Tolerance(), "guarantee": "exactly once", "batch_rows": 100, "digest_algorithm": "sha256",
        "remarks": (),
    }  # fmt: skip
    return Plan(**{**given, **changes})


def passage(about: Plan | None = None, sink: Sink | None = None) -> Passage:
    return Passage(
        about or plan(), zone=SHANGHAI, mask_key=b"m" * 32, hash_key=b"h" * 32, today=TODAY, sink=sink
    )  # fmt: skip


def people(*rows: tuple[int, str, int, str | None], operations: list[int] | None = None) -> pa.RecordBatch:
    """Number of the person, name, version, district."""
    return batch(
        operations,
        id_no=pa.array([identity_number(row[0]) for row in rows], pa.string()),
        name=pa.array([row[1] for row in rows], pa.string()),
        born=pa.array(["1850-01-02" for _ in rows], pa.string()),
        ver=pa.array([str(row[2]) for row in rows], pa.string()),
        district=pa.array([row[3] for row in rows], pa.string()),
    )


@pytest.fixture
def endpoint() -> Iterator[MemoryEndpoint]:
    yield MemoryEndpoint(MemoryOptions(store="passage"))
    forget("passage")


def sink_of(endpoint: MemoryEndpoint, about: Plan) -> Sink:
    return endpoint.sink(Binding(object="person", columns={n: n for n in about.deliver}, key=("id_no",), version="ver"))


def deliver(sink: Sink, passage: Passage, passed: Passed, key: str) -> None:
    claim = Claim(key=key, exchange="share-1", epoch=1)
    delivery = sink.begin(claim, passage.schema)
    delivery.stage(passed.staged)
    delivery.commit(CommitManifest(claim=claim, digest=key, rows=passed.staged.num_rows, overwrite=True))


def test_only_granted_rows_and_items_leave_and_are_masked() -> None:
    passed = passage().through(people((1, "张三丰", 1, HERE), (2, "李四", 1, AWAY), (3, "王𠮷", 2, HERE)))
    assert passed.staged.to_pylist() == [
        {"id_no": identity_number(1), "name": "张**", "born": date(1850, 1, 2), "ver": 1, OPERATION: PUT},
        {"id_no": identity_number(3), "name": "王*", "born": date(1850, 1, 2), "ver": 2, OPERATION: PUT},
    ]
    assert passed.filtered == 1
    assert passed.refused_rows == 0


def test_a_row_about_which_the_filter_knows_nothing_does_not_leave() -> None:
    passed = passage().through(people((1, "张三", 1, None)))
    assert (passed.staged.num_rows, passed.filtered) == (0, 1)


def test_the_filter_looks_at_what_is_not_delivered_and_before_the_masks() -> None:
    about = plan(filter={"all": [FILTER, {"item": "name", "is": "张三"}]})
    passed = passage(about).through(people((1, "张三", 1, HERE), (2, "张四", 1, HERE)))
    assert passed.staged.column("name").to_pylist() == ["张*"]
    assert "district" not in passed.staged.schema.names


def test_a_first_delivery_takes_nothing_back() -> None:
    rows = people((1, "张三", 1, AWAY), (2, "李四", 1, HERE), operations=[PUT, DELETE])
    passed = passage().through(rows)
    assert (passed.staged.num_rows, passed.filtered) == (0, 2)


def test_a_row_that_leaves_the_grant_is_taken_back_with_nothing_but_key_and_version(endpoint: MemoryEndpoint) -> None:
    about = plan()
    sink = sink_of(endpoint, about)
    first = passage(about)
    deliver(sink, first, first.through(people((1, "张三", 1, HERE), (2, "李四", 1, HERE))), "one")
    passed = passage(about, sink).through(people((1, "张三", 2, AWAY), (3, "赵五", 1, AWAY), (4, "孙六", 1, HERE)))
    assert passed.staged.to_pylist() == [
        {"id_no": identity_number(1), "name": None, "born": None, "ver": 2, OPERATION: DELETE},
        {"id_no": identity_number(4), "name": "孙*", "born": date(1850, 1, 2), "ver": 1, OPERATION: PUT},
    ]
    assert passed.filtered == 1
    deliver(sink, first, passed, "two")
    held = {row["id_no"] for row in store("passage").tables["person"].present().values()}
    assert held == {identity_number(2), identity_number(4)}


def test_nothing_of_an_ungranted_row_is_kept_at_the_recipient(endpoint: MemoryEndpoint) -> None:
    about = plan()
    sink = sink_of(endpoint, about)
    through = passage(about, sink)
    deliver(sink, through, through.through(people((1, "张三", 1, AWAY), (2, "李四", 1, HERE))), "one")
    assert identity_number(1) not in repr(store("passage").tombstones)
    assert identity_number(1) not in repr(store("passage").tables["person"])


def test_a_row_deleted_at_its_source_is_taken_away_where_it_is_held(endpoint: MemoryEndpoint) -> None:
    about = plan()
    sink = sink_of(endpoint, about)
    first = passage(about)
    deliver(sink, first, first.through(people((1, "张三", 1, HERE))), "one")
    rows = people((1, "", 2, None), (2, "", 2, None), operations=[DELETE, DELETE])
    passed = passage(about, sink).through(rows)
    assert [row["id_no"] for row in passed.staged.to_pylist()] == [identity_number(1)]
    assert passed.staged.column(OPERATION).to_pylist() == [DELETE]
    assert passed.filtered == 1


def test_without_a_filter_every_deletion_is_passed_on() -> None:
    passed = passage(plan(filter=None)).through(
        people((1, "张三", 1, AWAY), (2, "", 2, None), operations=[PUT, DELETE])
    )
    assert passed.staged.column(OPERATION).to_pylist() == [PUT, DELETE]
    assert passed.staged.column("name").to_pylist() == ["张*", None]
    assert passed.filtered == 0


def test_a_masked_key_is_looked_up_as_the_recipient_knows_it(endpoint: MemoryEndpoint) -> None:
    about = plan(masks={"id_no": {"mask": "hmac"}})
    sink = sink_of(endpoint, about)
    first = passage(about)
    deliver(sink, first, first.through(people((1, "张三", 1, HERE))), "one")
    passed = passage(about, sink).through(people((1, "张三", 2, AWAY), (2, "李四", 2, AWAY)))
    (row,) = passed.staged.to_pylist()
    assert row[OPERATION] == DELETE
    assert len(row["id_no"]) == 64
    assert identity_number(1) not in str(passed.staged.to_pylist())


def test_what_is_handed_over_may_be_empty_but_for_key_and_version() -> None:
    schema = delivered_schema(plan(masks={"id_no": {"mask": "hmac"}, "name": {"mask": "null"}}))
    assert {field.name: field.nullable for field in schema} == {
        "id_no": False, "name": True, "born": True, "ver": False, OPERATION: False,
    }  # fmt: skip
    assert schema.field("id_no").metadata[b"length"] == b"64"
    assert delivered_schema(plan()).names == [*DELIVERED, OPERATION]


def test_rows_are_numbered_in_the_order_of_reading_and_of_staging() -> None:
    through = passage()
    first = through.through(people((1, "张三", 1, AWAY), (2, "李四", 1, HERE), (3, "太长的名字超过了八个字", 1, HERE)))
    second = through.through(people((4, "王五", 1, HERE), (5, "赵六", 1, AWAY)))
    assert first.rows.to_pylist() == [
        {"number": 1, "staged": None, "reference": "r0"},
        {"number": 2, "staged": 0, "reference": "r1"},
    ]
    assert [row["number"] for row in first.refused.to_pylist()] == [3]
    assert second.rows.to_pylist() == [
        {"number": 4, "staged": 1, "reference": "r0"},
        {"number": 5, "staged": None, "reference": "r1"},
    ]


def test_a_refused_row_is_kept_as_its_source_gave_it_with_every_reason() -> None:
    rows = batch(id_no=["123"], name=["太长的名字超过了八个字"], born=["昨天"], ver=["1"], district=[HERE])
    passed = passage().through(rows)
    found = passed.refused.to_pylist()
    assert passed.refused_rows == 1
    assert [(row["item"], row["rule"]) for row in found] == [
        ("born", "type"), ("id_no", "identity_number"), ("name", "length"),
    ]  # fmt: skip
    assert passed.contents.to_pylist() == [
        {
            "id_no": "123", "name": "太长的名字超过了八个字", "born": "昨天", "ver": "1", "district": HERE,
            OPERATION: PUT, "_reference": "r0", NUMBER: 1,
        }
    ]  # fmt: skip
    assert len({row["key_hash"] for row in found}) == 1
    assert not any("太长的名字" in row["reason"] or "123" in row["key_hash"] for row in found)


def test_text_that_is_no_text_is_refused_and_kept_as_it_came() -> None:
    wrong = pa.StringArray.from_buffers(
        1, pa.py_buffer(b"\x00\x00\x00\x00\x04\x00\x00\x00"), pa.py_buffer(b"\xd5\xc5a\xff")
    )
    rows = batch(id_no=[identity_number(1)], name=wrong, born=["1850-01-02"], ver=["1"], district=[HERE])
    passed = passage().through(rows)
    (found,) = passed.refused.to_pylist()
    assert found["rule"] == "text"
    assert passed.contents.column("name").cast(pa.binary()).to_pylist() == [b"\xd5\xc5a\xff"]


def test_values_that_the_source_types_itself_are_kept_with_their_types() -> None:
    rows = batch(
        id_no=["123"], name=["张三"], born=pa.array([date(1850, 1, 2)]), ver=pa.array([7], pa.int64()),
        district=pa.array([b"\x00\xff"], pa.binary()),
    )  # fmt: skip
    about = plan(items=(*ITEMS[:4], Item(name="district", label="所在区", type="G")), filter=None)
    contents = passage(about).through(rows).contents
    assert contents.drop_columns([NUMBER]) == rows
    assert contents.column(NUMBER).to_pylist() == [1]


def test_without_a_version_a_replay_passes_over_what_the_recipient_has(endpoint: MemoryEndpoint) -> None:
    about = plan(version=None, filter=None, masks={"id_no": {"mask": "hmac"}})
    sink = sink_of(endpoint, about)
    first = passage(about)
    deliver(sink, first, first.through(people((1, "张三", 1, HERE))), "one")
    rows = people((2, "李四", 1, HERE), (1, "旧名", 1, HERE), (3, "太长的名字超过了八个字", 1, HERE))
    through = passage(about.model_copy(update={"replay": Replay(rows={"ab": (1, 2, 3)})}), sink)
    passed = through.through(rows)
    assert passed.staged.num_rows == 1
    assert [(row["number"], row["item"], row["rule"]) for row in passed.refused.to_pylist()] == [
        (2, None, "outdated"), (3, "name", "length"),
    ]  # fmt: skip
    assert (passed.refused_rows, passed.rows.column("number").to_pylist()) == (2, [1])
    assert passed.contents.column("name").to_pylist() == ["旧名", "太长的名字超过了八个字"]
    assert passed.contents.column(NUMBER).to_pylist() == [2, 3]
    for other in (about, about.model_copy(update={"version": "ver", "replay": through._plan.replay})):
        assert passage(other, sink).through(rows).refused_rows == 1


def test_an_empty_batch_passes() -> None:
    passed = passage().through(people())
    assert (passed.staged.num_rows, passed.rows.num_rows, passed.refused.num_rows, passed.filtered) == (0, 0, 0, 0)


PERSON = st.tuples(
    st.integers(0, 30),
    st.sampled_from(["张三", "李𠮷", "", "太长的名字超过了八个字"]),
    st.integers(0, 3),
    st.sampled_from([HERE, AWAY, None]),
    st.sampled_from([PUT, DELETE]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(PERSON, max_size=6), max_size=4), st.booleans(), st.booleans())
def test_every_row_read_is_filtered_refused_or_staged(
    batches: list[list[tuple[Any, ...]]], filtering: bool, asking: bool
) -> None:
    about = plan() if filtering else plan(filter=None)
    sink = sink_of(MemoryEndpoint(MemoryOptions(store="balance")), about)
    through = passage(about, sink if asking else None)
    read = staged = filtered = refused = passed_rows = 0
    numbers: list[int | None] = []
    for rows in batches:
        given_rows = people(*(row[:4] for row in rows), operations=[row[4] for row in rows])
        passed = through.through(given_rows)
        read += given_rows.num_rows
        staged += passed.staged.num_rows
        filtered += passed.filtered
        refused += passed.refused_rows
        passed_rows += passed.rows.num_rows
        numbers += passed.rows.column("staged").to_pylist()
        for row in passed.staged.to_pylist():
            assert row[OPERATION] == DELETE or row["name"] in {"张*", "李*"}
    assert read == filtered + refused + staged
    assert passed_rows == read - refused
    assert [number for number in numbers if number is not None] == list(range(staged))
    forget("balance")
