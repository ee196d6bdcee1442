"""Planning: frozen, content-addressed, and every reason against it at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters import Capabilities
from exchange.errors import Invalid
from exchange.plan import End, Plan, Refresh, Replay, Subject, Tolerance, canonical_digest, make_plan, tolerance_of
from schemas import Item

ITEMS = (
    Item(name="id_no", label="证件号码", type="C", length=18, mandatory=True),
    Item(name="name", label="姓名", type="C", length=64),
    Item(name="district", label="所在区", type="C", length=6),
    Item(name="ver", label="版本", type="I", mandatory=True),
)
DATABASE = Capabilities(
    way="database",
    captures=frozenset({"snapshot", "outbox", "journal"}),
    delivers=True,
    transactional=True,
    merges=True,
    settles=True,
)
FILES = Capabilities(way="file", captures=frozenset({"snapshot"}), delivers=True)
SERVICE = Capabilities(way="webservice", captures=frozenset({"snapshot"}))


def subject(**changes: Any) -> Subject:
    """A sharing from the base library, in order."""
    given: dict[str, Any] = {
        "exchange": "share-1",
        "kind": "sharing",
        "record_class": "natural_person",
        "resource": "101001001/0001",
        "resource_version": 1,
        "resource_items": ITEMS,
        "key": ("id_no",),
        "version": "ver",
        "grant": "G1",
        "grant_version": 1,
        "grant_body": {"items": ["id_no", "name", "ver"], "filter": {"item": "district", "is": "321202"}},
        "provider": "P",
        "recipient": "R",
        "source": End(endpoint="library", object="person", columns={i.name: i.name for i in ITEMS}, capture="journal"),
        "target": End(endpoint="tax", object="person", columns={"name": "xm"}),
        "previous_shape": None,
        "settings": {},
    }
    return Subject(**{**given, **changes})


def planned(
    about: Subject | None = None, source: Capabilities = DATABASE, target: Capabilities = DATABASE, **more: Any
) -> Plan:
    options: dict[str, Any] = {"batch_rows": 100, "tolerance": Tolerance(share=0.05), "digest_algorithm": "sha256"}
    return make_plan(about or subject(), source, target, **{**options, **more})


def problems(about: Subject | None = None, **more: Any) -> list[str]:
    with pytest.raises(Invalid) as refused:
        planned(about, **more)
    assert all(problem.where.startswith("交换 share-1 › ") for problem in refused.value.problems)
    return [f"{problem.where.rpartition(' › ')[2]}：{problem.message}" for problem in refused.value.problems]


def test_a_plan_reads_what_is_granted_and_what_the_filter_needs_and_delivers_what_is_granted() -> None:
    plan = planned()
    assert [item.name for item in plan.items] == ["id_no", "name", "ver", "district"]
    assert plan.deliver == ("id_no", "name", "ver")
    assert plan.source.columns == {name: name for name in ("id_no", "name", "ver", "district")}
    assert plan.target.columns == {"id_no": "id_no", "name": "xm", "ver": "ver"}
    assert plan.guarantee == "exactly once"


def test_a_plan_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        planned().full = False  # type: ignore[misc]


def test_the_digest_names_the_content_whatever_the_order_of_the_fields() -> None:
    plan = planned()
    again = Plan(**dict(reversed(plan.model_dump(mode="json").items())))
    assert again == plan
    assert again.digest() == plan.digest()
    assert planned(subject(grant_version=2)).digest() != plan.digest()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_the_canonical_digest_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    def turned(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: turned(each) for name, each in reversed(part.items())}
        return [turned(each) for each in part] if isinstance(part, list) else part

    assert canonical_digest(value) == canonical_digest(turned(value))
    assert canonical_digest([value]) != canonical_digest(value)


def test_the_first_pass_is_full_and_the_next_one_is_not() -> None:
    first = planned()
    assert first.full
    assert first.overwrite
    next_one = planned(subject(previous_shape=first.shape()))
    assert not next_one.full
    assert not next_one.overwrite


@pytest.mark.parametrize(
    "change",
    [
        {"grant": "G2"},
        {"grant_body": {"items": ["id_no", "ver"], "filter": {"item": "district", "is": "321202"}}},
        {"grant_body": {"items": ["id_no", "name", "ver"], "filter": {"item": "district", "is": "321283"}}},
        {"grant_body": {"items": ["id_no", "name", "ver"], "masks": {"name": {"mask": "name"}}}},
        {"target": End(endpoint="tax", object="other", columns={"name": "xm"})},
        {"version": None},
    ],
)
def test_another_shape_makes_a_full_pass(change: dict[str, Any]) -> None:
    shape = planned().shape()
    plan = planned(subject(previous_shape=shape, **change))
    assert plan.full
    assert plan.overwrite


@pytest.mark.parametrize("change", [{"grant_version": 2}, {"resource_version": 2}, {"settings": {"batch_rows": 7}}])
def test_what_does_not_decide_the_content_makes_no_full_pass(change: dict[str, Any]) -> None:
    assert not planned(subject(previous_shape=planned().shape(), **change)).full


def outbox(**changes: Any) -> Subject:
    source = End(endpoint="front", object="inf", columns={i.name: i.name for i in ITEMS}, capture="outbox")
    return subject(**{"kind": "synchronisation", "source": source, **changes})


def test_rows_marked_as_read_come_again_by_a_snapshot_when_the_shape_has_changed() -> None:
    first = planned(outbox())
    assert first.source.capture == "outbox"
    assert planned(outbox(previous_shape=first.shape())).source.capture == "outbox"
    assert planned(outbox(previous_shape="another")).source.capture == "snapshot"
    again = planned(outbox(previous_shape=first.shape()), redeliver=True)
    assert again.source.capture == "snapshot"
    assert again.full
    assert again.shape() == first.shape()


def test_the_way_is_the_one_that_is_not_the_plain_database() -> None:
    assert planned().way == "database"
    assert planned(target=FILES).way == "file"
    assert planned(subject(source=subject().source.model_copy(update={"capture": "snapshot"})), source=SERVICE).way == (
        "webservice"
    )


def test_what_a_target_cannot_do_is_said_in_the_plan() -> None:
    plan = planned(target=FILES)
    assert plan.guarantee == "at least once"
    assert any("至少送达一次" in remark for remark in plan.remarks)
    assert any("不做比对" in remark for remark in plan.remarks)
    snapshot = subject(source=subject().source.model_copy(update={"capture": "snapshot"}), version=None)
    assert any("物理删除" in remark for remark in planned(snapshot).remarks)
    assert any("最后读到" in remark for remark in planned(snapshot).remarks)


ALL = replace(DATABASE, captures=frozenset({"snapshot", "watermark", "diff", "journal"}))


def test_what_a_capture_cannot_see_is_said_in_the_plan() -> None:
    def captured(capture: str, **changes: Any) -> Plan:
        source = subject().source.model_copy(update={"capture": capture})
        return planned(subject(source=source, **{"version": None, **changes}), source=ALL)

    assert any("看不到提供方的物理删除" in remark for remark in captured("watermark").remarks)
    assert any("最后读到" in remark for remark in captured("watermark").remarks)
    assert not any("最后读到" in remark for remark in captured("watermark", version="ver").remarks)
    assert any("作为删除送达" in remark for remark in captured("diff").remarks)
    with pytest.raises(Invalid) as told:
        captured("diff", version="ver")
    assert "版本项 ver" in told.value.problems[0].message


def test_a_pass_whose_notes_are_lost_is_a_full_one_and_says_so() -> None:
    first = planned(subject())
    assert not planned(subject(previous_shape=first.shape())).full
    again = planned(subject(previous_shape=first.shape()), forgotten=True)
    assert again.full
    assert any("记录缺失" in remark for remark in again.remarks)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    body = {"items": ["name", "nothing"], "filter": {"item": "born", "is": "1"}}
    source = End(endpoint="front", object="inf", columns={"ver": "ver"}, capture="batches")
    found = problems(subject(grant_body=body, source=source), target=SERVICE)
    assert found == [
        "授权信息项：资源 101001001/0001 没有信息项 nothing",
        "授权信息项：资源 101001001/0001 没有信息项 born",
        "信息项映射：来源端 front 没有给出信息项 name 的列",
        "业务主键：主键 id_no 不在授权信息项内",
        "版本项：版本项 ver 不在授权信息项内",
        "来源端：端点 front 不支持读取方式 batches（支持：journal、outbox、snapshot）",
        "目标端：端点 tax 不能写入",
        "过滤条件：没有信息项 “born”",
    ]


def test_a_resource_without_a_key_cannot_move() -> None:
    assert problems(subject(key=())) == ["业务主键：资源没有业务主键，无法合并"]


def test_a_status_column_has_one_reader() -> None:
    assert problems(outbox(exchange="share-1"), rival_readers=["sync-2"]) == [
        "来源端：前置表 inf 已由 sync-2 按同步标志读取，一张表只能有一个读取方"
    ]
    assert problems(outbox(kind="sharing")) == ["来源端：带同步标志的前置表只由归集读取，共享应从基础库提供"]


def test_rows_of_a_target_have_one_writer_where_it_merges() -> None:
    (found,) = problems(rival_writers=["share-9"])
    assert "share-9" in found
    assert planned(target=FILES, rival_writers=["share-9"]).deliver


def test_the_exchange_may_have_figures_of_its_own() -> None:
    plan = planned(subject(settings={"tolerance": {"rows": 3}, "batch_rows": 7}))
    assert plan.tolerance == Tolerance(rows=3)
    assert plan.batch_rows == 7


@pytest.mark.parametrize(
    "wrong", [{"rows": -1}, {"rows": 1.5}, {"share": -0.1}, {"share": 1.1}, {"share": True}, {"x": 1}]
)
def test_a_tolerance_that_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Tolerance(**wrong)


def test_a_tolerance_in_words() -> None:
    assert Tolerance().words() == "不限"
    assert Tolerance(rows=3, share=0.005).words() == "3 行，读取行的 0.5%"
    assert Tolerance(share=0).words() == "读取行的 0%"


def test_without_figures_of_its_own_an_exchange_has_the_hubs() -> None:
    default = Tolerance(share=0.05)
    assert tolerance_of({}, default) == tolerance_of({"tolerance": {}}, default) == default
    assert tolerance_of({"tolerance": {"rows": 0}}, default) == Tolerance(rows=0)


def test_a_replay_is_part_of_the_plan_and_not_of_the_shape() -> None:
    plan = planned()
    replay = plan.model_copy(update={"replay": Replay(rows={"ab": (3, 7)}, repairs=("repair-1",))})
    assert replay.replay is not None
    assert replay.replay.size == 2
    assert replay.digest() != plan.digest()
    assert replay.shape() == plan.shape()
    assert Plan(**replay.model_dump(mode="json")) == replay


@pytest.mark.parametrize(
    ("tolerance", "refused", "read", "exceeded"),
    [
        (Tolerance(), 10, 10, False),
        (Tolerance(rows=2), 2, 10, False),
        (Tolerance(rows=2), 3, 1000, True),
        (Tolerance(share=0.05), 5, 100, False),
        (Tolerance(share=0.05), 6, 100, True),
        (Tolerance(share=0.0), 1, 100, True),
        (Tolerance(share=0.0), 0, 0, False),
        (Tolerance(rows=1, share=0.5), 2, 100, True),
    ],
)
def test_either_bound_of_the_tolerance_stops(tolerance: Tolerance, refused: int, read: int, exceeded: bool) -> None:
    assert tolerance.exceeded(refused, read) is exceeded


SERVED = End(endpoint="police", object="people", columns={i.name: i.name for i in ITEMS}, capture="snapshot")
REFRESHES = replace(DATABASE, refreshes=True)


def test_a_refresh_is_part_of_the_plan_and_says_what_it_does() -> None:
    about = subject(source=SERVED, settings={"refresh": {"may_fall": 0.25}})
    plan = planned(about, target=REFRESHES, accepted=7)
    assert plan.refresh == Refresh(may_fall=0.25, accepted=7)
    assert any("25%" in remark for remark in plan.remarks)
    assert not any("看不到" in remark for remark in plan.remarks)
    assert plan.shape() == planned(subject(source=SERVED), target=REFRESHES).shape()
    assert planned(subject(source=SERVED), target=REFRESHES).refresh is None


def test_what_cannot_be_refreshed_is_refused_with_every_reason() -> None:
    full = {"refresh": {}}
    (found_one,) = problems(subject(settings=full), target=REFRESHES)
    assert found_one.startswith("全量刷新：全量刷新要求每次全部读取（snapshot），来源以 journal 方式读取")
    shared = End(endpoint="tax", object="person", columns={"name": "xm"}, fixed={"area": "1"})
    found = problems(subject(source=SERVED, target=shared, settings=full), target=DATABASE, tenants=["share-2"])
    assert [word in text for word, text in zip(("其他固定值", "不能整体替换", "share-2"), found, strict=True)] == [
        True
    ] * 3
    library = End(endpoint="library", object="person", columns={"name": "xm"})
    found = problems(subject(source=SERVED, target=library, settings=full), target=REFRESHES)
    assert ["基础库" in text for text in found] == [True]
    assert problems(accepted=3) == ["全量刷新：不是全量刷新，没有行数下降可接受"]


@pytest.mark.parametrize(
    "wrong", [{"may_fall": -0.1}, {"may_fall": 1.1}, {"accepted": -1}, {"accepted": 1.5}, {"x": 1}]
)
def test_a_refresh_that_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Refresh(**wrong)


@pytest.mark.parametrize(
    "tolerance",
    [Tolerance(), Tolerance(rows=0), Tolerance(rows=7), Tolerance(share=0.07), Tolerance(rows=3, share=0.29)],
    ids=Tolerance.words,
)
def test_what_is_left_of_the_tolerance_is_what_does_not_exceed_it(tolerance: Tolerance) -> None:
    for read in (0, 1, 7, 100, 300):
        for refused in range(min(read, 30) + 1):
            if (left := tolerance.left(refused, read)) is None:
                assert not tolerance.exceeded(read, read)
            elif tolerance.exceeded(refused, read):
                assert left == 0
            elif read:
                assert not tolerance.exceeded(refused + left, read)
                assert tolerance.exceeded(refused + left + 1, read)


FAMILY = Item(name="family", label="家庭成员", type="M", rows=(Item(name="relation", label="关系", type="C"),))


def of_families(capture: str = "snapshot", **bound: Any) -> Subject:
    """A sharing of persons with their families, from one pair of tables to another."""
    children = {"family": {"table": "t", "key": {"id_no": "ID"}, "columns": {"relation": "REL"}} | bound}
    columns = {name: name for name in ("id_no", "family", "ver")}
    return subject(
        resource_items=(*ITEMS, FAMILY),
        grant_body={"items": list(columns)},
        source=End(endpoint="a", object="p", columns=columns, capture=capture, options={"children": children}),
        target=End(endpoint="b", object="p", columns=columns, options={"children": children}),
    )


def test_child_tables_are_told_of_in_the_plan() -> None:
    remarks = "；".join(planned(of_families()).remarks)
    assert "family 的子表行读自 t" in remarks
    assert "family 的子表行写入 t" in remarks
    assert "读不到" not in remarks.partition("读自 t")[2]
    assert "上级行没有变动的，读不到" in "；".join(planned(of_families("journal")).remarks)


def test_child_tables_that_cannot_be_are_refused_by_name() -> None:
    found = problems(of_families(key={"ver": "V"}))
    assert [text.partition("：")[0] for text in found] == ["来源端", "目标端"]
    assert "恰好写明业务主键 id_no" in found[0]
    able = replace(DATABASE, captures=frozenset({"diff"}))
    about = of_families("diff").model_copy(update={"version": None})
    assert any("看不到子表的变化" in text for text in problems(about, source=able))
    about = of_families().model_copy(update={"grant_body": {"items": ["id_no", "ver"]}})
    assert problems(about) == ["目标端：信息项 family 不在授权信息项内，它的子表没有行可写；请从目标的 children 中去掉"]
    about = of_families().model_copy(
        update={"grant_body": {"items": ["id_no", "family", "ver"], "filter": {"item": "family", "is": "[]"}}}
    )
    assert any("不能作过滤条件" in text for text in problems(about))


def test_files_go_only_where_there_is_a_place_for_them() -> None:
    items = (*ITEMS, Item(name="file", label="证照文件", type="G", document=True))
    columns = {item.name: item.name for item in items}
    body = {"items": ["id_no", "ver", "file"]}
    library = End(endpoint="library", object="person", columns=columns, capture="journal")
    about = subject(resource_items=items, grant_body=body, source=library)
    drops = replace(FILES, documents=True)
    assert planned(about, target=drops).deliver == ("id_no", "ver", "file")
    assert problems(about) == [
        "目标端：端点 tax 不能接收附件 证照文件（file）；改用文件方式共享，或申请时不要这些信息项"
    ]
    elsewhere = library.model_copy(update={"endpoint": "police", "capture": "snapshot"})
    found = problems(subject(resource_items=items, grant_body=body, source=elsewhere), target=drops)
    assert found == [
        "来源端：端点 police 不能提供附件 证照文件（file）；资源改由文件端点（files）挂接，或从资源中去掉这些信息项"
    ]
    about = subject(resource_items=items, grant_body=body, source=library, key=("file",), version="file")
    assert problems(about, target=drops) == ["业务主键：附件 file 不能作业务主键", "版本项：附件 file 不能作版本项"]
    # Who is not granted the file can have the rows anywhere.
    assert planned(subject(resource_items=items, source=library)).deliver == ("id_no", "name", "ver")
