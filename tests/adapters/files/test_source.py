from __future__ import annotations

import json
import os
from typing import Any

import pyarrow as pa
import pytest

from adapters.base import DELETE, OPERATION, PUT, REFERENCE, Binding, Outcome, Selection, Source
from adapters.errors import Malformed, Misconfigured, Unsupported
from adapters.files.transports.local import LocalDirectory
from schemas import profile
from tests.adapters.files.conftest import Drop, Passes, binding

HEAD = "证照编号,持证人\n"


def _rows(source: Source, after: Any = None, size: int = 16_384) -> list[dict[str, Any]]:
    batches = list(source.batches(Selection(after=after, batch_rows=size)))
    assert all(batch.schema == source.schema() and 0 < batch.num_rows <= size for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()]


def _numbers(source: Source, after: Any = None) -> list[str]:
    return [row["number"] for row in _rows(source, after)]


def test_rows_are_text_with_their_line(drop: Drop) -> None:
    drop.put("licence_1.csv", f'{HEAD}1,"=HYPERLINK(""x"")"\n,""\n𠮷,\n')
    source = drop.endpoint.source(binding())
    assert source.schema() == pa.schema(
        [
            pa.field("number", pa.string()),
            pa.field("holder", pa.string()),
            pa.field(OPERATION, pa.int8(), nullable=False),
            pa.field(REFERENCE, pa.string(), nullable=False),
        ]
    )
    rows = _rows(source)
    assert [(row["number"], row["holder"], row[OPERATION]) for row in rows] == [
        ("1", '=HYPERLINK("x")', PUT),
        (None, "", PUT),
        ("𠮷", None, PUT),
    ]
    assert [row[REFERENCE].partition("#")[0] for row in rows] == ["licence_1.csv"] * 3
    assert [row[REFERENCE].rpartition(":")[2] for row in rows] == ["2", "3", "4"]


def test_files_in_the_order_of_their_names_each_once(drop: Drop) -> None:
    drop.put("licence_2.csv", f"{HEAD}3,c\n")
    drop.put("licence_1.csv", f"{HEAD}1,a\n2,b\n")
    drop.put("other_1.csv", f"{HEAD}9,z\n")
    passes = Passes(drop.endpoint, binding())
    assert passes.numbers() == ["1", "2", "3"]
    assert json.loads(json.dumps(passes.position)) == {"capture": "batches"}
    assert passes.numbers() == []
    drop.put("licence_1.csv", f"{HEAD}1,a\n2,B\n")
    drop.put("licence_3.csv", f"{HEAD}4,d\n")
    assert passes.numbers() == ["1", "2", "4"]
    assert [(file.name, file.rows) for file in passes.files] == [("licence_1.csv", 2), ("licence_3.csv", 1)]
    assert passes.numbers() == []


def test_without_a_notebook_every_pass_is_a_full_one(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    source = drop.endpoint.source(binding())
    for _ in range(2):
        assert _numbers(source) == ["1"]
        assert source.position() is None


def test_the_last_file_whole(drop: Drop) -> None:
    for number in (1, 2):
        drop.put(f"licence_{number}.csv", f"{HEAD}{number},a\n")
    drop.put("licence_3.csv", f"{HEAD}3,a\n", manifest=False)
    source = drop.endpoint.source(binding(capture="snapshot"))
    rows = _rows(source)
    assert [row["number"] for row in rows] == ["2"]
    assert source.position() is None
    source.settle([Outcome(row[REFERENCE]) for row in rows])
    assert "licence_2.csv" in drop.names()


def test_nothing_there(drop: Drop) -> None:
    for capture in ("batches", "snapshot"):
        assert _rows(drop.endpoint.source(binding(capture=capture))) == []
    drop.put("licence_1.csv", HEAD)
    passes = Passes(drop.endpoint, binding())
    assert passes.read(settled=True) == []
    assert [(file.name, file.rows) for file in passes.files] == [("licence_1.csv", 0)]
    # A file without rows was taken too.
    assert drop.names() == ["taken/licence_1.csv", "taken/licence_1.csv.manifest.json"]


def test_batches_are_no_larger_than_wanted(drop: Drop) -> None:
    drop.put("licence_1.csv", HEAD + "".join(f"{n},a\n" for n in range(10)))
    assert len(_rows(drop.endpoint.source(binding()), size=3)) == 10


@pytest.mark.parametrize(("version", "expected"), [(None, ["1"]), ("number", ["1", "3"])])
def test_a_file_that_is_not_complete_waits(drop: Drop, version: str | None, expected: list[str]) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    drop.put("licence_2.csv", f"{HEAD}2,a\n", manifest=False)
    drop.put("licence_3.csv", f"{HEAD}3,a\n")
    passes = Passes(drop.endpoint, binding(version=version))
    assert passes.numbers() == expected
    drop.put("licence_2.csv", f"{HEAD}2,a\n")
    assert sorted([*expected, *passes.numbers()]) == ["1", "2", "3"]


def test_complete_by_marker_or_by_age(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n", manifest=False)
    by_marker = drop.endpoint.source(binding(options={"complete": "marker", "marker": ".ok"}))
    by_age = drop.endpoint.source(binding(options={"complete": "age", "age": 3600}))
    assert _numbers(by_marker) == _numbers(by_age) == []
    (drop.root / "licence_1.csv.ok").touch()
    os.utime(drop.root / "licence_1.csv", (1, 1))
    rows = _rows(by_marker)
    assert [row["number"] for row in rows] == _numbers(by_age) == ["1"]
    by_marker.settle([Outcome(rows[0][REFERENCE])])
    assert drop.names() == ["taken/licence_1.csv", "taken/licence_1.csv.ok"]


@pytest.mark.parametrize(
    ("about", "word"),
    [
        ({"sha256": "0" * 64}, "摘要不符"),
        ({"sha256": "x"}, "清单 licence_1.csv.manifest.json"),
        ({"rows": 3}, "清单记 3 行"),
        ({"rows": -1}, "清单 licence_1.csv.manifest.json"),
        ({"rows": None}, "清单 licence_1.csv.manifest.json"),
    ],
)
def test_a_manifest_that_does_not_fit(drop: Drop, about: dict[str, Any], word: str) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n2,b\n", **about)
    passes = Passes(drop.endpoint, binding())
    assert passes.read() == []
    assert word in passes.refused["licence_1.csv"]
    with pytest.raises(Malformed, match=word):
        _rows(drop.endpoint.source(binding(capture="snapshot")))


@pytest.mark.parametrize("text", ["", "{", "[]", "rows: 1"])
def test_a_manifest_that_is_none(drop: Drop, text: str) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    (drop.root / "licence_1.csv.manifest.json").write_text(text)
    passes = Passes(drop.endpoint, binding())
    assert passes.read() == []
    assert "清单" in passes.refused["licence_1.csv"]


def test_further_entries_of_a_manifest_are_somebody_elses(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n", key="K1", sender="甲局")
    assert _numbers(drop.endpoint.source(binding())) == ["1"]


def test_a_mark_of_utf_8_is_no_nonsense_in_a_manifest(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    manifest = drop.root / "licence_1.csv.manifest.json"
    manifest.write_bytes(b"\xef\xbb\xbf" + manifest.read_bytes())
    assert _numbers(drop.endpoint.source(binding())) == ["1"]


def test_headers_nobody_can_see_the_difference_of(drop: Drop) -> None:
    drop.put("licence_1.csv", '"证照\n编号 ", 持证人 \n1,a\n', rows=1)
    assert _numbers(drop.endpoint.source(binding())) == ["1"]


def test_columns_in_any_order_and_more_of_them(drop: Drop) -> None:
    drop.put("licence_1.csv", "持证人,备注,证照编号\na,x,1\n")
    [row] = _rows(drop.endpoint.source(binding()))
    assert (row["number"], row["holder"]) == ("1", "a")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("证照编号\n1\n", ["缺少列 持证人"]),
        ("a,b\n1,2\n", ["证照编号", "持证人"]),
        ("证照编号,证照 编号,持证人\n1,1,2\n", ["不止一个"]),
    ],
)
def test_headers_that_do_not_fit(drop: Drop, header: str, words: list[str]) -> None:
    drop.put("licence_1.csv", header)
    passes = Passes(drop.endpoint, binding())
    assert passes.read() == []
    assert all(word in passes.refused["licence_1.csv"] for word in ["licence_1.csv", *words])


def test_one_column_for_two_items(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    [row] = _rows(drop.endpoint.source(binding(columns={"number": "证照编号", "copy": "证照编号"})))
    assert (row["number"], row["copy"]) == ("1", "1")


def test_deletions_by_a_column(drop: Drop) -> None:
    drop.put("licence_1.csv", "证照编号,持证人,操作\n1,a,I\n2,b, u \n3,c,D\n4,d,d\n")
    rows = _rows(drop.endpoint.source(binding(options={"operation": "操作"})))
    assert [row[OPERATION] for row in rows] == [PUT, PUT, DELETE, DELETE]


@pytest.mark.parametrize("word", ["X", "", '""', "删"])
def test_an_operation_nobody_knows(drop: Drop, word: str) -> None:
    drop.put("licence_1.csv", f"证照编号,持证人,操作\n1,a,I\n11010119900307,b,{word}\n")
    passes = Passes(drop.endpoint, binding(options={"operation": "操作"}))
    assert passes.read() == []
    assert "licence_1.csv 第 3 行" in passes.refused["licence_1.csv"]
    assert "11010119900307" not in passes.refused["licence_1.csv"]


def test_only_rows_that_carry_the_fixed_values(drop: Drop) -> None:
    drop.put("licence_1.csv", "证照编号,持证人,区划,年\n1,a,甲,1\n2,b,乙,1\n3,c,,1\n4,d,甲,2\n5,e,甲,1\n")
    rows = _rows(drop.endpoint.source(binding(fixed={"区划": "甲", "年": "1"})))
    assert [(row["number"], row[REFERENCE].rpartition(":")[2]) for row in rows] == [("1", "2"), ("5", "6")]


@pytest.mark.parametrize("encoding", ["gb18030", "gbk", "utf-8-sig"])
def test_encodings(drop: Drop, encoding: str) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,張三\n", encoding=encoding)
    assert _rows(drop.endpoint.source(binding(options={"encoding": encoding})))[0]["holder"] == "張三"


@pytest.mark.parametrize("object", ["../*.csv", "/etc/*", "a/*.csv", "**/*.csv"])
def test_patterns_never_lead_out(drop: Drop, object: str) -> None:
    with pytest.raises(Misconfigured):
        _rows(drop.endpoint.source(binding(object=object)))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"capture": "outbox"}, Unsupported),
        ({"capture": "journal"}, Unsupported),
        ({"profile": profile("jiangsu")}, Misconfigured),
        ({"options": {"encodng": "gbk"}}, Misconfigured),
        ({"options": {"delimiter": "ab"}}, Misconfigured),
        ({"options": {"marker": "../x"}}, Misconfigured),
    ],
)
def test_bindings_that_cannot_be(drop: Drop, changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        drop.endpoint.source(binding(**changes))


def _settled(drop: Drop, given: Binding, refuse: dict[str, str]) -> tuple[Source, list[Outcome]]:
    source = drop.endpoint.source(given)
    outcomes = [Outcome(row[REFERENCE], refuse.get(row["number"])) for row in _rows(source)]
    return source, outcomes


def test_settling_moves_the_file_and_lists_what_was_refused(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n2,b\n3,c\n")
    source, outcomes = _settled(drop, binding(), {"2": '校验位不对，"见"标准', "3": "缺少,必填项"})
    assert source.settle(outcomes) == 3
    assert drop.names() == ["licence_1.csv.refused.csv", "taken/licence_1.csv", "taken/licence_1.csv.manifest.json"]
    text = (drop.root / "licence_1.csv.refused.csv").read_bytes().decode("utf-8-sig")
    mark = outcomes[0].reference.partition("#")[2].partition(":")[0]
    assert text.splitlines() == [
        '"行号","原因","文件指纹"',
        f'"3","校验位不对，""见""标准","{mark}"',
        f'"4","缺少,必填项","{mark}"',
    ]
    assert source.settle(outcomes) == 0
    assert (drop.root / "licence_1.csv.refused.csv").read_bytes().decode("utf-8-sig") == text
    assert source.settle([]) == 0
    # Nothing of our own is ever read.
    assert _rows(drop.endpoint.source(binding(object="*"))) == []


def test_settling_in_pieces_comes_to_the_same(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n2,b\n3,c\n", encoding="gbk")
    given = binding(options={"encoding": "gbk"})
    _, outcomes = _settled(drop, given, {"1": "甲", "3": "乙"})
    for outcome in outcomes:
        drop.endpoint.source(given).settle([outcome])
    text = (drop.root / "licence_1.csv.refused.csv").read_bytes().decode("gb18030")
    assert [line.split(",")[:2] for line in text.splitlines()[1:]] == [['"2"', '"甲"'], ['"4"', '"乙"']]


def test_settling_leaves_another_file_of_that_name_alone(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    source, outcomes = _settled(drop, binding(), {})
    drop.put("licence_1.csv", f"{HEAD}1,b\n")
    assert source.settle(outcomes) == 0
    assert "licence_1.csv" in drop.names()


def test_two_files_of_one_name_are_both_kept(drop: Drop) -> None:
    for holder in "ab":
        drop.put("licence_1.csv", f"{HEAD}1,{holder}\n")
        source, outcomes = _settled(drop, binding(), {})
        assert source.settle(outcomes) == 1
    taken = [name for name in drop.names() if "manifest" not in name]
    assert len(taken) == 2
    assert {(drop.root / name).read_text() for name in taken} == {f"{HEAD}1,a\n", f"{HEAD}1,b\n"}


def test_a_file_may_stay(drop: Drop) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n2,b\n")
    source, outcomes = _settled(drop, binding(options={"after": "leave"}), {"2": "不对"})
    assert source.settle(outcomes) == 1
    assert source.settle(outcomes) == 0
    assert "licence_1.csv" in drop.names()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"x\n1\n", "行号,原因,文件指纹\nx,y,z\n".encode()])
def test_a_list_the_provider_spoiled_is_made_again(drop: Drop, content: bytes) -> None:
    drop.put("licence_1.csv", f"{HEAD}1,a\n")
    source, outcomes = _settled(drop, binding(), {"1": "不对"})
    (drop.root / "licence_1.csv.refused.csv").write_bytes(content)
    source.settle(outcomes)
    assert "不对" in (drop.root / "licence_1.csv.refused.csv").read_text("utf-8-sig")


@pytest.mark.parametrize("complete", ["manifest", "marker", "age"])
def test_death_while_settling(drop: Drop, complete: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = binding(options={"complete": complete, "age": 0})
    drop.put("licence_1.csv", f"{HEAD}1,a\n2,b\n")
    (drop.root / "licence_1.csv.done").touch()
    source, outcomes = _settled(drop, given, {"2": "不对"})
    original = LocalDirectory.rename
    for allowed in range(4):
        done: list[int] = []

        def rename(
            self: LocalDirectory, *arguments: Any, done: list[int] = done, allowed: int = allowed, **named: Any
        ) -> None:
            if len(done) == allowed:
                raise KeyboardInterrupt
            done.append(1)
            original(self, *arguments, **named)

        with monkeypatch.context() as patch:
            patch.setattr(LocalDirectory, "rename", rename)
            try:
                source.settle(outcomes)
            except KeyboardInterrupt:
                continue
            break
    source.settle(outcomes)
    assert {"licence_1.csv.refused.csv", "taken/licence_1.csv"} <= set(drop.names())
    assert not {"licence_1.csv"} & set(drop.names())
