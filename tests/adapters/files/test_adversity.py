"""What goes wrong with data files, of every format: it is told by file and remedy, and nothing of it is delivered."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.base import DELETE, OPERATION, PUT, REFERENCE, Binding, Claim, Manifest, Outcome, Selection
from adapters.errors import Unavailable, Unbalanced, Unsupported
from adapters.files.ledger import Ledger
from adapters.files.transports.local import LocalDirectory
from exchange.checks.normalise import normalise
from schemas import Item, arrow_schema
from tests.adapters.files.conftest import Drop, Passes, binding
from tests.adapters.files.formats.workbooks import row, sheet, workbook
from tests.support.rooms import no_file_longer_than

FORMATS = ("csv", "xlsx", "jsonl", "xml", "parquet")
WRAPPED = [*FORMATS, *(f"{name}{around}" for name in FORMATS for around in (".gz", ".zip"))]
HEAD = "证照编号,持证人\n"


def _drop(drop: Drop, name: str, content: bytes, rows: int = 1) -> None:
    (drop.root / name).write_bytes(content)
    about = {"rows": rows, "sha256": hashlib.sha256(content).hexdigest()}
    (drop.root / f"{name}.manifest.json").write_text(json.dumps(about))


def _rows(drop: Drop, given: Binding) -> list[dict[str, Any]]:
    with drop.endpoint.source(given) as source:
        return [row for batch in source.batches(Selection()) for row in batch.to_pylist()]


def _zip(*members: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as made:
        for name, content in members:
            made.writestr(name, content)
    return out.getvalue()


def _parquet(table: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(table), out)
    return out.getvalue()


def _encrypted() -> bytes:
    content = bytearray(_zip(("licence_1.csv", f"{HEAD}1,a\n".encode())))
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] |= 1
    return bytes(content)


TWO = {"证照编号": ["1"], "持证人": ["a"]}
PACKAGE = "<Package><Body><r><证照编号>1</证照编号><持证人>a</持证人></r></Body></Package>"
SHEET = row(1, "证照编号", "持证人") + row(2, "1", "a")

WRONG: dict[str, tuple[str, bytes, str]] = {
    "broken quotes": ("csv", f'{HEAD}1,"a\n2,b\n'.encode(), "第 2 行"),
    "mixed encodings": ("csv", f"{HEAD}1,张\n".encode() + "2,三\n".encode("gb18030"), "第 3 行"),
    "duplicate headers": ("csv", "证照编号,持证人,家庭成员情况,持证人 \n1,a,b,c\n".encode(), "持证人 不止一个"),
    "duplicate headers in a sheet": (
        "xlsx",
        workbook({"名单": sheet(row(1, "证照编号", "持证人", "持证人\n") + row(2, "1", "a", "b"))}),
        "持证人 不止一个",
    ),
    "column gone from a sheet": ("xlsx", workbook({"名单": sheet(row(1, "证照编号"))}), "缺少列 持证人"),
    "merged cells": (
        "xlsx",
        workbook({"名单": sheet(SHEET, '<mergeCells><mergeCell ref="A2:A3"/></mergeCells>')}),
        "合并",
    ),
    "two sheets": ("xlsx", workbook({"甲": sheet(SHEET), "乙": sheet(SHEET)}), "不止一个"),
    "no workbook": ("xlsx", b"PK\x03\x04", "不是完整的 zip"),
    "workbook that is a table": ("xlsx", HEAD.encode(), "zip"),
    "sheet with a dtd": (
        "xlsx",
        workbook({"名单": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + "<worksheet/>"}),
        "DTD",
    ),
    "broken line": ("jsonl", b'{"a": 1\n', "第 1 行"),
    "duplicate keys": ("jsonl", '{"证照编号":"1","证照编号":"2","持证人":"a"}\n'.encode(), "重名"),
    "key in no object": ("jsonl", '{"证照编号":"1"}\n'.encode(), "持证人"),
    "dtd": ("xml", f"<!DOCTYPE Package>{PACKAGE}".encode(), "DTD"),
    "entities": ("xml", b'<!DOCTYPE p [<!ENTITY a "x">]>' + PACKAGE.replace(">a<", ">&a;<").encode(), "DTD"),
    "xml cut off": ("xml", PACKAGE.encode()[:-12], "完整"),
    "element in no record": ("xml", PACKAGE.replace("持证人", "x").encode(), "持证人"),
    "lying footer": ("parquet", _parquet(TWO)[:-8] + b"\xff\xff\xff\x7fPAR1", "文件尾"),
    "parquet cut off": ("parquet", _parquet(TWO)[:-3], "Parquet"),
    "column gone from parquet": ("parquet", _parquet({"证照编号": ["1"]}), "缺少列 持证人"),
    "zip bomb": ("csv.zip", _zip(("x.csv", HEAD.encode() + b"\n" * (80 << 20))), "300 倍"),
    "gzip bomb": ("csv.gz", gzip.compress(HEAD.encode() + b"\n" * (80 << 20)), "300 倍"),
    "nested archive": ("csv.zip", _zip(("x.zip", _zip(("x.csv", HEAD.encode())))), "又是 zip"),
    "nested gzip": ("csv.gz", gzip.compress(gzip.compress(HEAD.encode())), "又是 gzip"),
    "two members": ("csv.zip", _zip(("x.csv", HEAD.encode()), ("y.csv", HEAD.encode())), "2 个成员"),
    "encrypted zip": ("csv.zip", _encrypted(), "加密"),
    "archive nobody announced": ("csv", gzip.compress(HEAD.encode()), "gzip"),
}


@pytest.mark.parametrize(("ending", "content", "words"), WRONG.values(), ids=WRONG)
def test_a_refused_file_is_named_with_a_remedy(drop: Drop, ending: str, content: bytes, words: str) -> None:
    _drop(drop, f"licence_1.{ending}", content)
    given = binding(object=f"licence_*.{ending}")
    passes = Passes(drop.endpoint, given)
    assert passes.read() == []
    reason = passes.refused[f"licence_1.{ending}"]
    assert f"licence_1.{ending}" in reason
    assert words in reason
    assert reason.endswith("）"), "the remedy"
    # It stays where its provider finds it.
    assert f"licence_1.{ending}" in drop.names()


def test_headers_that_nobody_can_see_the_difference_of(drop: Drop) -> None:
    _drop(drop, "licence_1.xlsx", workbook({"名单": sheet(row(1, "证照\n编号 ", " 持证人") + row(2, "1", "a"))}))
    _drop(drop, "licence_1.jsonl", '{"证照\\n编号 ":"1"," 持证人":"a"}\n'.encode())
    for ending in ("xlsx", "jsonl"):
        [found] = _rows(drop, binding(object=f"licence_*.{ending}"))
        assert (found["number"], found["holder"]) == ("1", "a")


def test_rows_that_cannot_be_read_are_refused_with_their_place(drop: Drop) -> None:
    cells = '<c r="A4"><v>3.2120218850101E+17</v></c><c r="B4" t="e"><v>#N/A</v></c>'
    content = workbook({"名单": sheet(SHEET + f'<row r="4">{cells}</row>')})
    _drop(drop, "licence_1.xlsx", content, 2)
    given = binding(object="licence_*.xlsx")
    items = (Item(name="number", label="编号", type="C"), Item(name="holder", label="持证人", type="C"))
    with drop.endpoint.source(given) as source:
        [batch] = source.batches(Selection())
        found = normalise(batch, items, "Asia/Shanghai", key=("number",))
        told = [(one.row, one.item, one.rule) for one in found.findings]
        assert told == [(1, "number", "text"), (1, "holder", "text")]
        assert "15 位" in found.findings[0].reason
        assert "公式错误" in found.findings[1].reason
        references = batch.column(REFERENCE).to_pylist()
        source.settle([Outcome(references[0]), Outcome(references[1], found.findings[0].reason)])
    refused = (drop.root / "licence_1.xlsx.refused.csv").read_text("utf-8-sig")
    assert refused.splitlines()[1].startswith('"4",')
    assert "15 位" in refused
    assert "taken/licence_1.xlsx" in drop.names()


def test_a_fixed_value_that_cannot_be_read_loses_no_row(drop: Drop) -> None:
    cells = '<c r="A3" t="inlineStr"><is><t>2</t></is></c><c r="B3" t="e"><v>#N/A</v></c>'
    _drop(drop, "licence_1.xlsx", workbook({"名单": sheet(SHEET + f'<row r="3">{cells}</row>')}), 2)
    given = binding(object="licence_*.xlsx", columns={"number": "证照编号"}, fixed={"持证人": "a"})
    passes = Passes(drop.endpoint, given)
    assert passes.read() == []
    assert "工作表“名单”第 3 行的固定值列 持证人 不能读取" in passes.refused["licence_1.xlsx"]


def test_a_workbook_that_bursts(drop: Drop) -> None:
    page = sheet(SHEET + '<row r="3"/>' + " " * (80 << 20))
    _drop(drop, "licence_1.xlsx", workbook({"名单": page}))
    passes = Passes(drop.endpoint, binding(object="licence_*.xlsx"))
    assert passes.read() == []
    assert "licence_1.xlsx 解开后超过原来的 300 倍" in passes.refused["licence_1.xlsx"]


@pytest.mark.parametrize("ending", ["csv.zip", "parquet"])
def test_a_full_disk_at_the_hub_refuses_no_file(drop: Drop, ending: str) -> None:
    """What must be jumped about in is put aside first, and what finds no room there is as good as it was."""
    holders = [random.Random(number).randbytes(300).hex() for number in range(16_000)]
    numbers = [str(number) for number in range(len(holders))]
    if ending == "parquet":
        content = _parquet({"证照编号": numbers, "持证人": holders})
    else:
        lines = "".join(f"{number},{holder}\n" for number, holder in zip(numbers, holders, strict=True))
        content = _zip(("x.csv", f"{HEAD}{lines}".encode()), compression=zipfile.ZIP_STORED)
    assert len(content) > 8 << 20
    _drop(drop, f"licence_1.{ending}", content, len(numbers))
    passes = Passes(drop.endpoint, binding(object=f"licence_*.{ending}"))
    with no_file_longer_than(1 << 20), pytest.raises(Unavailable, match="临时目录") as caught:
        passes.read()
    assert caught.value.retry
    assert len(passes.read()) == len(numbers)
    assert passes.refused == {}


ITEMS = tuple(Item(name=f"i_{letter.lower()}", label=letter, type=letter) for letter in "CMNYDTLGBIF")
KEYED = (Item(name="number", label="编号", type="C"), *ITEMS)
FULL = {
    "number": "1",
    "i_c": "=cmd|'/c calc'!A0",
    "i_m": '甲\n𠮷 <&> "x"',
    "i_n": Decimal("12345678901234567890123456789012345678"),
    "i_y": Decimal("-0.10"),
    "i_d": date(2026, 1, 1),
    "i_t": datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    "i_l": False,
    "i_g": bytes(range(256)),
    "i_b": 0.1,
    "i_i": -(2**63),
    "i_f": 1e-300,
}
VALUES = [FULL, {"number": "2"}, {"number": "3", "i_c": "00123", "i_m": "", "i_g": b"", "i_l": True}]
ALL = arrow_schema(KEYED).append(pa.field(OPERATION, pa.int8(), nullable=False))
CLAIM = Claim(key="plan/1", exchange="E1", epoch=1)


def _target(ending: str, **options: Any) -> Binding:
    columns = {item.name: f"列 {item.label}" for item in KEYED}
    return binding(object=f"out_*.{ending}", columns=columns, options=options)


def _manifest(rows: int, **more: Any) -> Manifest:
    return Manifest(**({"claim": CLAIM, "digest": "d" * 64, "rows": rows} | more))


def _batch(rows: list[dict[str, Any]], operations: list[int]) -> pa.RecordBatch:
    given = [{OPERATION: what, **one} for what, one in zip(operations, rows, strict=True)]
    return pa.RecordBatch.from_pylist(given, schema=ALL)


@pytest.mark.parametrize("ending", WRAPPED)
def test_every_item_goes_round_in_every_format_and_wrapper(drop: Drop, ending: str) -> None:
    delivery = drop.endpoint.sink(_target(ending)).begin(CLAIM, ALL)
    delivery.stage(_batch(VALUES[:2], [PUT, PUT]))
    delivery.stage(_batch(VALUES[2:], [DELETE]))
    answer = delivery.commit(_manifest(3))
    assert (answer.written, answer.deleted) == (3, 1)
    assert answer.place.endswith(f".{ending}")
    assert drop.names() == [answer.place, f"{answer.place}.manifest.json"]
    content = (drop.root / answer.place).read_bytes()
    about = json.loads((drop.root / f"{answer.place}.manifest.json").read_text())
    assert (about["rows"], about["sha256"]) == (3, hashlib.sha256(content).hexdigest())
    # Nothing of the stage is left beside it.
    assert not list(drop.root.glob(".*.part"))
    with drop.endpoint.source(_target(ending, operation="_operation")) as source:
        batches = list(source.batches(Selection()))
    found = normalise(
        pa.Table.from_batches(batches).combine_chunks().to_batches()[0], KEYED, "Asia/Shanghai", key=("number",)
    )
    assert found.findings == []
    rows = found.batch.drop_columns([REFERENCE]).to_pylist()
    wanted = _batch(VALUES, [PUT, PUT, DELETE]).select([*(item.name for item in KEYED), OPERATION]).to_pylist()
    assert rows == wanted


def test_child_rows_go_round_as_json(drop: Drop) -> None:
    items = (KEYED[0], Item(name="rows", label="材料", type="M", rows=(Item(name="a", label="a", type="C"),)))
    schema = arrow_schema(items).append(pa.field(OPERATION, pa.int8(), nullable=False))
    text = '[{"a":"x"},{"a":null}]'
    batch = pa.RecordBatch.from_pylist([{"number": "1", "rows": text, OPERATION: PUT}], schema=schema)
    for number, ending in enumerate(FORMATS):
        claim = Claim(key=f"plan/{ending}", exchange=f"E{number}", epoch=1)
        nested = {"nested": ["rows"]} if ending in ("jsonl", "parquet") else {}
        given = binding(object=f"{ending}_*.{ending}", columns={"number": "number", "rows": "rows"})
        delivery = drop.endpoint.sink(given).begin(claim, schema)
        delivery.stage(batch)
        delivery.commit(_manifest(1, claim=claim))
        reading = binding(object=given.object, columns=given.columns, options={"operation": "_operation", **nested})
        assert [row["rows"] for row in _rows(drop, reading)] == [text]


@pytest.mark.parametrize("ending", WRAPPED)
def test_nothing_to_deliver_makes_no_file(drop: Drop, ending: str) -> None:
    sink = drop.endpoint.sink(_target(ending))
    answer = sink.begin(CLAIM, ALL).commit(_manifest(0))
    assert (answer.written, answer.place) == (0, "")
    assert drop.names() == []
    assert sink.settled(CLAIM.key) == answer


@pytest.mark.parametrize("ending", ["jsonl", "xlsx", "xml", "parquet", "csv.gz", "csv.zip"])
def test_death_at_every_step_of_a_commit(drop: Drop, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever takes over finishes it, from wherever it was left, and there is one file."""
    steps = ("begin", "append", "write", "rename", "remove")
    originals = {name: getattr(LocalDirectory, name) for name in steps}
    sink = drop.endpoint.sink(_target(ending))
    delivery = sink.begin(CLAIM, ALL)
    delivery.stage(_batch(VALUES, [PUT, PUT, PUT]))
    deaths = 0
    for allowed in range(100):
        done: list[int] = []

        def counted(name: str, done: list[int] = done, allowed: int = allowed) -> Any:
            def step(self: LocalDirectory, *arguments: Any, **named: Any) -> None:
                if len(done) >= allowed:
                    raise KeyboardInterrupt
                done.append(1)
                originals[name](self, *arguments, **named)

            return step

        with monkeypatch.context() as patch:
            for name in steps:
                patch.setattr(LocalDirectory, name, counted(name))
            try:
                answer = sink.resume(CLAIM, ALL).commit(_manifest(3))
            except KeyboardInterrupt:
                deaths += 1
                settled = drop.endpoint.sink(_target(ending)).settled(CLAIM.key) if allowed % 2 else None
                if settled is None:
                    continue
                answer = settled
        break
    assert deaths >= 3
    assert answer == sink.settled(CLAIM.key) == sink.resume(CLAIM, ALL).commit(_manifest(3))
    assert drop.names() == [answer.place, f"{answer.place}.manifest.json"]
    assert not list(drop.root.glob(".*.part"))
    content = (drop.root / answer.place).read_bytes()
    assert (
        json.loads((drop.root / f"{answer.place}.manifest.json").read_text())["sha256"]
        == hashlib.sha256(content).hexdigest()
    )


def test_a_delivery_that_is_given_up_leaves_nothing(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = drop.endpoint.sink(_target("xlsx"))
    delivery = sink.begin(CLAIM, ALL)
    delivery.stage(_batch(VALUES, [PUT, PUT, PUT]))
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "carry_out", lambda self, entry: pytest.fail(str(entry.name)))
        with pytest.raises(pytest.fail.Exception):
            delivery.commit(_manifest(3))
    assert len(list(drop.root.glob(".*.part"))) == 2
    delivery.abort()
    delivery.abort()
    assert not list(drop.root.glob(".*.part"))
    assert sink.settled(CLAIM.key) is None
    with pytest.raises(Unbalanced):
        delivery.commit(_manifest(3))


def test_a_higher_epoch_begins_anew_and_removes_what_was_made(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = drop.endpoint.sink(_target("parquet"))
    delivery = sink.begin(CLAIM, ALL)
    delivery.stage(_batch(VALUES, [PUT, PUT, PUT]))
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "carry_out", lambda self, entry: pytest.fail(str(entry.name)))
        with pytest.raises(pytest.fail.Exception):
            delivery.commit(_manifest(3))
    later = Claim(key=CLAIM.key, exchange=CLAIM.exchange, epoch=2)
    again = sink.begin(later, ALL)
    assert len(list(drop.root.glob(".*.part"))) == 1
    again.stage(_batch(VALUES[:1], [PUT]))
    answer = again.commit(_manifest(1, claim=later))
    assert answer.written == 1
    assert drop.names() == [answer.place, f"{answer.place}.manifest.json"]


def test_what_a_format_cannot_carry_is_told_before_it_is_staged(drop: Drop) -> None:
    long, control = dict(VALUES[1]) | {"i_m": "x" * 40_000}, dict(VALUES[1]) | {"i_m": "\x01"}
    for ending, bad in (("xlsx", long), ("xml", control)):
        claim = Claim(key=ending, exchange=ending, epoch=1)
        delivery = drop.endpoint.sink(_target(ending)).begin(claim, ALL)
        with pytest.raises(Unsupported, match="列 M"):
            delivery.stage(_batch([bad], [PUT]))
        delivery.stage(_batch(VALUES, [PUT, PUT, PUT]))
        assert delivery.commit(_manifest(3, claim=claim)).written == 3


def test_every_format_is_found_and_described(drop: Drop) -> None:
    content = {
        "a.xlsx": workbook({"名单": sheet(SHEET)}),
        "b.jsonl": '{"证照编号":"1","持证人":"a"}\n'.encode(),
        "c.xml": PACKAGE.encode(),
        "d.parquet": _parquet(TWO),
        "e.csv.gz": gzip.compress(f"{HEAD}1,a\n".encode("gb18030")),
        "f.csv.zip": _zip(("x.csv", f"{HEAD}1,a\n".encode())),
        "g.parquet": b"PAR1",
        "h.pdf": b"%PDF",
        "a.xlsx.refused.csv": b"x\n",
    }
    for name, file in content.items():
        (drop.root / name).write_bytes(file)
    found = {one.name: [column.name for column in one.columns] for one in drop.endpoint.inspect()}
    both = ["证照编号", "持证人"]
    assert found == dict.fromkeys(["a.xlsx", "b.jsonl", "c.xml", "d.parquet", "e.csv.gz", "f.csv.zip"], both) | {
        "g.parquet": []
    }
    (drop.root / "elsewhere").symlink_to("/etc/hostname")
    assert [one.name for one in drop.endpoint.inspect()] == list(found)
