from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import DELETE, OPERATION, PUT, Binding, Claim, Refresh, Selection
from adapters.database import DatabaseEndpoint
from adapters.errors import Misconfigured
from exchange.checks.examination import examine
from schemas import Item, arrow_schema
from tests.adapters.database.conftest import Deliverer, Hands, batch, counts, options_of

FAMILY = Item(
    name="family",
    label="家庭成员",
    type="M",
    rows=(
        Item(name="relation", label="关系", type="C", length=4),
        Item(name="born", label="出生日期", type="D"),
        Item(name="share", label="份额", type="N", length=38, scale=10),
        Item(name="seen", label="更新时间", type="T"),
        Item(name="alive", label="在世", type="L"),
        Item(name="score", label="评分", type="B"),
        Item(name="count", label="次数", type="I"),
    ),
)
ITEMS = (
    Item(name="id", label="编号", type="C", length=20, mandatory=True),
    Item(name="name", label="姓名", type="C", length=50),
    FAMILY,
    Item(name="version", label="版本", type="I", mandatory=True),
)
SCHEMA = arrow_schema(ITEMS)
CHILDREN = {
    "family": {
        "table": "person_family",
        "key": {"id": "person_id"},
        "columns": {"relation": "rel", **{name: name for name in ("born", "share", "seen", "alive", "score")},
                    "count": "many"},
    }
}  # fmt: skip
BINDING = Binding(
    object="person",
    columns={item.name: item.name for item in ITEMS},
    key=("id",),
    version="version",
    options={"children": CHILDREN},
)
NOBODY = {each.name: None for each in FAMILY.rows}
WIFE = {
    "relation": '妻𠮷"\\',
    "born": date(1, 1, 1).isoformat(),
    "share": "-1234567890123456789012345678.0000000001",
    "seen": "2024-01-01 00:00:00.123456Z",
    "alive": "true",
    "score": "0.30000000000000004",
    "count": "-9223372036854775808",
}
SON: dict[str, str | None] = NOBODY | {"relation": "", "born": "9999-12-31", "alive": "false"}


def family(*members: dict[str, Any]) -> str:
    objects = [json.dumps(each, ensure_ascii=False, sort_keys=True, separators=(",", ":")) for each in members]
    return f"[{','.join(sorted(objects, key=str.encode))}]"


def person(
    id: str, *members: dict[str, Any], version: int = 1, name: str = "张三", operation: int = PUT
) -> dict[str, Any]:
    row = {"id": id, "version": version, OPERATION: operation}
    return row | {"name": name, "family": family(*members)} if operation == PUT else row


@pytest.fixture
def deliver(endpoint: DatabaseEndpoint) -> Deliverer:
    endpoint.install(BINDING, SCHEMA)
    return Deliverer(endpoint, BINDING, SCHEMA)


def held(
    endpoint: DatabaseEndpoint, size: int = 1000, binding: Binding = BINDING, items: Any = ITEMS
) -> dict[str, Any]:
    """What is read from both tables, in the one form that checks make of it."""
    found: dict[str, Any] = {}
    with endpoint.source(binding) as source:
        for batch in source.batches(Selection(batch_rows=size)):
            seen = examine(batch, items, ["id"], "version", "Asia/Shanghai", date(2026, 1, 1))
            assert seen.findings == []
            found |= {row["id"]: (row["version"], row["family"]) for row in seen.accepted.to_pylist()}
    return found


def test_child_rows_arrive_and_are_read_as_they_were(deliver: Deliverer, endpoint: DatabaseEndpoint) -> None:
    people = [person("1", WIFE, SON, SON), person("2"), person("3", SON)]
    assert counts(deliver(*people)) == (3, 0, 0, 0, 0)
    for size in (1000, 1):
        assert held(endpoint, size) == {
            "1": (1, family(WIFE, SON, SON)),
            "2": (1, "[]"),
            "3": (1, family(SON)),
        }


def test_a_new_version_with_fewer_child_rows_takes_the_others_away(deliver: Deliverer, hands: Hands) -> None:
    deliver(person("1", WIFE, SON), person("2", SON), key="a")
    hands.run("INSERT INTO person_family (person_id, rel) VALUES ('2', '外')")
    answer = deliver(person("1", SON, version=2), key="b")
    assert counts(answer) == (1, 0, 0, 0, 0)
    assert hands.rows("SELECT person_id, rel FROM person_family ORDER BY 1, 2") == [("1", ""), ("2", ""), ("2", "外")]


def test_a_deletion_takes_the_child_rows(deliver: Deliverer, hands: Hands) -> None:
    deliver(person("1", WIFE, SON), person("2", SON), key="a")
    answer = deliver(person("1", version=2, operation=DELETE), key="b")
    assert counts(answer) == (1, 1, 0, 0, 0)
    assert hands.rows("SELECT person_id FROM person_family") == [("2",)]


def test_child_rows_that_had_no_parent_go_with_the_first_version(deliver: Deliverer, hands: Hands) -> None:
    hands.run("INSERT INTO person_family (person_id, rel) VALUES ('1', '孤')")
    deliver(person("1", SON))
    assert hands.rows("SELECT rel FROM person_family") == [("",)]


def test_the_same_version_is_compared_with_its_child_rows(deliver: Deliverer, hands: Hands) -> None:
    deliver(person("1", WIFE, SON), key="a")
    assert counts(deliver(person("1", SON, WIFE), key="b")) == (0, 0, 1, 0, 0)
    assert counts(deliver(person("1", SON, SON), key="c")) == (0, 0, 0, 0, 1)
    assert counts(deliver(person("1", SON, SON, name="张三"), key="d", overwrite=True)) == (1, 0, 0, 0, 0)
    assert counts(deliver(person("1", SON), person("1", SON, SON), key="e")) == (0, 0, 1, 0, 1)
    assert counts(deliver(person("1", version=0), key="f")) == (0, 0, 0, 1, 0)
    assert hands.rows("SELECT rel FROM person_family") == [("",), ("",)]


def test_without_a_version_other_child_rows_are_other_content(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    binding = replace(BINDING, version=None)
    endpoint.install(binding, SCHEMA)
    deliver = Deliverer(endpoint, binding, SCHEMA)
    deliver(person("1", WIFE), person("2", WIFE), key="a")
    assert counts(deliver(person("1", SON), person("2", WIFE), key="b")) == (1, 0, 1, 0, 0)
    assert hands.rows("SELECT person_id, rel FROM person_family ORDER BY 1") == [("1", ""), ("2", WIFE["relation"])]


def with_foreign_key(hands: Hands) -> None:
    """The recipient's own tables: a child row has a parent, and nobody is older than the emperor."""
    engine = "" if hands.product != "mariadb" else " ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
    later = " DEFERRABLE INITIALLY DEFERRED" if hands.product == "postgresql" else ""
    hands.run(
        "DROP TABLE person_family",
        "DROP TABLE person",
        f"CREATE TABLE person (id varchar(20) PRIMARY KEY, name varchar(50), version bigint){engine}",
        "CREATE TABLE person_family (person_id varchar(20) NOT NULL, rel varchar(4) NOT NULL, born date,"
        " share varchar(45), seen varchar(40), alive varchar(5), score double precision, many bigint,"
        f" CONSTRAINT of_person FOREIGN KEY (person_id) REFERENCES person (id){later},"
        f" CONSTRAINT not_odd CHECK (rel <> '怪')){engine}",
    )


def test_foreign_keys_hold(deliver: Deliverer, hands: Hands, endpoint: DatabaseEndpoint) -> None:
    with_foreign_key(hands)
    deliver(person("1", SON, SON), person("2", SON), key="a")
    answer = deliver(
        person("1", version=2, operation=DELETE), person("2", SON, SON, version=2), person("3", SON), key="b"
    )
    assert counts(answer) == (3, 1, 0, 0, 0)
    assert hands.rows("SELECT person_id, count(*) FROM person_family GROUP BY 1 ORDER BY 1") == [("2", 2), ("3", 1)]


def test_a_child_row_that_breaks_a_constraint_refuses_its_parent_and_no_other(deliver: Deliverer, hands: Hands) -> None:
    with_foreign_key(hands)
    odd = SON | {"relation": "怪"}
    deliver(person("1", SON), person("2", SON), key="a")
    answer = deliver(
        *(person(str(number), SON, odd, version=2, name="新") for number in (2, 4)),
        *(person(str(number), SON, SON, version=2, name="新") for number in (1, 3, 5, 6)),
        key="b",
    )
    assert counts(answer) == (4, 0, 0, 0, 2)
    assert [(row.row, row.rule) for row in answer.refused] == [(0, "constraint"), (1, "constraint")]
    assert hands.persons() == [
        ("1", "新", 2), ("2", "张三", 1), ("3", "新", 2), ("5", "新", 2), ("6", "新", 2),
    ]  # fmt: skip
    found = hands.rows("SELECT person_id, count(*) FROM person_family GROUP BY 1 ORDER BY 1")
    assert found == [("1", 2), ("2", 1), ("3", 2), ("5", 2), ("6", 2)]


def test_a_value_that_the_child_table_cannot_hold_refuses_its_parent(
    endpoint: DatabaseEndpoint, deliver: Deliverer, hands: Hands
) -> None:
    zero = SON | {"relation": "\x00"}
    answer = deliver(person("1", SON), person("2", SON, zero), person("3"))
    assert counts(answer) == (2, 0, 0, 0, 1)
    assert answer.refused[0].row == 1
    assert "family[2].relation" in answer.refused[0].reason
    assert hands.rows("SELECT person_id, rel FROM person_family") == [("1", "")]


def test_no_stage_is_left(deliver: Deliverer, hands: Hands) -> None:
    deliver(person("1", SON))
    assert {name for name in hands.tables() if "stage" in name} == set()


def test_what_does_not_fit_is_told_by_name(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    endpoint.install(BINDING, SCHEMA)
    hands.run(
        "DROP TABLE person_family", "CREATE TABLE person_family (person_id integer, rel varchar(2), x int NOT NULL)"
    )
    for sink in (False, True):
        told = "；".join(endpoint.check(BINDING, SCHEMA, sink=sink))
        assert "person_family 的列 person_id 是整数，上级表的列 id 是文本" in told
        assert "person_family 没有列 born（信息项 family.born）" in told
        assert ("交付不写它" in told) == sink
    hands.run("DROP TABLE person_family")
    for sink in (False, True):
        assert "没有子表 person_family（信息项 family）" in endpoint.check(BINDING, SCHEMA, sink=sink)
    with pytest.raises(Misconfigured, match="没有子表"), endpoint.source(BINDING) as source:
        source.schema()


def test_advice_where_no_index_finds_the_child_rows(
    deliver: Deliverer, endpoint: DatabaseEndpoint, hands: Hands
) -> None:
    assert endpoint.advise(BINDING) == []
    hands.run("DROP TABLE person_family", "CREATE TABLE person_family (person_id varchar(20), rel varchar(4))")
    assert "没有索引" in endpoint.advise(BINDING)[0]


def test_a_row_that_is_looked_up_brings_its_child_rows(deliver: Deliverer, endpoint: DatabaseEndpoint) -> None:
    deliver(person("1", SON), person("2", WIFE))
    keys = pa.RecordBatch.from_pylist([{"id": "2"}, {"id": "9"}], schema=pa.schema([SCHEMA.field("id")]))
    with endpoint.source(BINDING) as source:
        for _ in range(2):
            (found,) = source.lookup(keys).to_pylist()
            assert json.loads(found["family"])[0]["relation"] == WIFE["relation"]


def test_items_that_are_not_asked_for_are_not_read(
    deliver: Deliverer, endpoint: DatabaseEndpoint, hands: Hands
) -> None:
    deliver(person("1", SON))
    hands.run("DROP TABLE person_family")
    columns = {name: name for name in ("version", "id")}
    with endpoint.source(replace(BINDING, columns=columns)) as source:
        assert source.schema().names[:2] == ["version", "id"]
        assert [row["id"] for batch in source.batches(Selection()) for row in batch.to_pylist()] == ["1"]


def test_very_many_child_rows_of_one_parent(deliver: Deliverer, endpoint: DatabaseEndpoint) -> None:
    many = [SON | {"count": str(number)} for number in range(20_000)]
    deliver(person("1", *many), person("2", SON))
    assert held(endpoint)["1"] == (1, family(*many))


def test_a_refresh_takes_child_rows_with_their_parents(
    deliver: Deliverer, endpoint: DatabaseEndpoint, hands: Hands
) -> None:

    with_foreign_key(hands)
    deliver(person("1", SON), person("2", SON), person("3", SON), key="a")
    refreshing = endpoint.refreshing(BINDING)
    assert refreshing is not None
    assert refreshing.how == "reload"
    assert "有子表" in refreshing.why
    claim = Claim(key="b", exchange="exchange", epoch=1)
    with endpoint.sink(BINDING) as sink:
        delivery = sink.begin(claim, SCHEMA)
        delivery.stage(batch([person("1", SON, SON), person("3", SON)], SCHEMA))
        answer = delivery.commit(deliver.manifest(claim, 2, refresh=Refresh(may_fall=0.9)))
        delivery.abort()
    assert (answer.written, answer.gone, answer.unchanged) == (2, 1, 1)
    found = hands.rows("SELECT person_id, count(*) FROM person_family GROUP BY 1 ORDER BY 1")
    assert found == [("1", 2), ("3", 1)]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"capture": "diff"}, "逐段比对"),
        ({"fixed": {"p": "1"}}, "固定值"),
        ({"key": ("family",), "version": None}, "不能作业务主键"),
        ({"options": {"children": {"family": {"table": "person_family", "key": {"id": "x"}}}}}, "缺少此项"),
        ({"options": {"children": {"family": {**CHILDREN["family"], "table": "person"}}}}, "各用一张子表"),
        ({"options": {"children": {"family": {**CHILDREN["family"], "table": "shutong_x"}}}}, "不能用于挂接"),
        ({"options": {"children": {"family": {**CHILDREN["family"], "key": {"name": "x"}}}}}, "恰好写明业务主键 id"),
        ({"options": {"children": {"family": {**CHILDREN["family"], "key": {"id": "rel"}}}}}, "只能对应一个信息项"),
    ],
)  # fmt: skip
def test_bindings_that_cannot_be(tmp_path: Any, change: dict[str, Any], why: str) -> None:
    endpoint = DatabaseEndpoint({"product": "sqlite", "path": str(tmp_path / "x.db")})
    with pytest.raises(Misconfigured, match=why):
        endpoint.source(replace(BINDING, **change))


def test_times_of_the_source_are_read_in_its_zone(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    kinds = {"sqlite": "datetime", "postgresql": "timestamp", "mariadb": "datetime(6)"}
    hands.run(
        "CREATE TABLE person (id varchar(20) PRIMARY KEY, version integer)",
        f"CREATE TABLE person_family (person_id varchar(20), rel varchar(4), seen {kinds[hands.product]})",
        "INSERT INTO person VALUES ('1', 1)",
        "INSERT INTO person_family VALUES ('1', 'x', '2024-01-01 08:00:00')",
    )
    item = FAMILY.model_copy(update={"rows": (FAMILY.rows[0], FAMILY.rows[3])})
    children = {"family": {**CHILDREN["family"], "columns": {"relation": "rel", "seen": "seen"}}}
    columns = {name: name for name in ("id", "family", "version")}
    binding = replace(BINDING, columns=columns, options={"children": children})
    found = held(endpoint, binding=binding, items=(ITEMS[0], item, ITEMS[3]))
    moment = datetime(2024, 1, 1, tzinfo=UTC).isoformat(sep=" ", timespec="microseconds").replace("+00:00", "Z")
    assert found == {"1": (1, f'[{{"relation":"x","seen":"{moment}"}}]')}


@pytest.mark.parametrize("value", ["x'ff41'", "CAST(x'ff41' AS TEXT)"])
def test_what_is_no_text_refuses_the_parent(tmp_path: Any, value: str) -> None:
    url = f"sqlite:///{tmp_path / 'front.db'}"
    endpoint, hands = DatabaseEndpoint(options_of(url)), Hands(url)
    endpoint.install(BINDING, SCHEMA)
    Deliverer(endpoint, BINDING, SCHEMA)(person("1", SON), person("2", SON))
    hands.run(f"UPDATE person_family SET rel = {value} WHERE person_id = '2'")
    with endpoint.source(BINDING) as source:
        (got,) = source.batches(Selection())
        seen = examine(got, ITEMS, ["id"], "version", "Asia/Shanghai", date(2026, 1, 1))
    hands.engine.dispose()
    assert seen.accepted.column("id").to_pylist() == ["1"]
    assert [found.rule for found in seen.findings] == ["text"]


def test_two_child_tables_of_one_parent_and_a_key_of_two_items(endpoint: DatabaseEndpoint, hands: Hands) -> None:
    inner = (Item(name="what", label="内容", type="C", length=20),)
    items = (
        Item(name="area", label="区划", type="C", length=6, mandatory=True),
        Item(name="number", label="编号", type="I", mandatory=True),
        *(Item(name=name, label=name, type="M", rows=inner) for name in ("steps", "papers")),
        Item(name="version", label="版本", type="I", mandatory=True),
    )
    schema = arrow_schema(items)
    children = {
        name: {"table": f"case_{name}", "key": {"number": "case_no", "area": "case_area"}, "columns": {"what": "what"}}
        for name in ("steps", "papers")
    }
    columns = {item.name: item.name for item in items}
    binding = Binding(
        object="affair", columns=columns, key=("area", "number"), version="version", options={"children": children}
    )
    endpoint.install(binding, schema)
    assert endpoint.check(binding, schema, sink=True) == []
    deliver = Deliverer(endpoint, binding, schema)

    def case(area: str, number: int, version: int, steps: str, papers: str) -> dict[str, Any]:
        texts = {
            name: family(*({"what": sign} for sign in each)) for name, each in (("steps", steps), ("papers", papers))
        }
        return {"area": area, "number": number, "version": version, OPERATION: PUT, **texts}

    deliver(case("1", 1, 1, "ab", "x"), case("1", 2, 1, "c", ""), case("2", 1, 1, "", "yz"), key="a")
    assert counts(deliver(case("1", 1, 2, "b", "xw"), case("2", 1, 1, "", "zy"), key="b")) == (1, 0, 1, 0, 0)
    steps = hands.rows("SELECT case_area, case_no, what FROM case_steps ORDER BY 1, 2, 3")
    assert steps == [("1", 1, "b"), ("1", 2, "c")]
    papers = hands.rows("SELECT case_area, case_no, what FROM case_papers ORDER BY 1, 2, 3")
    assert papers == [("1", 1, "w"), ("1", 1, "x"), ("2", 1, "y"), ("2", 1, "z")]
    with endpoint.source(binding) as source:
        (got,) = source.batches(Selection())
    assert [json.loads(each) for each in got.column("steps").to_pylist()] == [[{"what": "b"}], [{"what": "c"}], []]
    assert hands.tables() >= {"case_steps", "case_papers"}
    assert not any("stage" in name for name in hands.tables())
