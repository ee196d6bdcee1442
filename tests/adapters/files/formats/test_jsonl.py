from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import Malformed
from adapters.files.formats import jsonl as module
from adapters.files.formats.jsonl import JsonLines, JsonLinesReading
from schemas import Item, arrow_schema
from schemas.unreadable import UNREADABLE, why_unreadable


def _read(content: bytes, step: int = 1 << 20, expected: tuple[str, ...] = (), **options: Any) -> list[tuple[int, Any]]:
    pieces = (content[start : start + step] for start in range(0, len(content), step))
    reader = JsonLines().reader(pieces, "a.jsonl", JsonLinesReading(**options), expected)
    found = [
        (place, dict(zip(reader.header, values.values(), strict=True)))
        for places, batch in reader.batches(range(len(reader.header)))
        for place, values in zip(places.to_pylist(), batch.to_pylist(), strict=True)
    ]
    assert reader.records == len(found)
    return found


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ("null", None),
        ('""', ""),
        ('" x\\n\\u4e2d𠮷"', " x\n中𠮷"),
        ('"\\ud842\\udfb7"', "𠮷"),
        ("true", "true"),
        ("false", "false"),
        ("0.10", "0.10"),
        ("321202188501010010321202188501010010", "321202188501010010321202188501010010"),
        ("-1.5", "-1.5"),
        ("1E5", "100000"),
        ("1.5e-3", "0.0015"),
        ("1e400", "1e400"),
        ('"\\u0000"', "\0"),
    ],
)
def test_values_as_they_are_written(literal: str, text: str | None) -> None:
    assert _read(f'{{"a": {literal}}}\n'.encode()) == [(1, {"a": text})]


@pytest.mark.parametrize("step", [1, 5, 1 << 20])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_object_has_its_line(step: int, end: str) -> None:
    content = end.join(['\ufeff{"a":"1"}', "", ' {"a":"2","b":"x"} ', "", '{"b":"y"}'])
    expected = [(1, {"a": "1", "b": None}), (3, {"a": "2", "b": "x"}), (5, {"a": None, "b": "y"})]
    assert _read(content.encode(), step, ("a", "b")) == expected
    assert _read((content + end).encode(), step, ("a", "b")) == expected


BROKEN = {
    "no json": b'{"a":1}\n{"a":\n',
    "two in a line": b'{"a":1}\n{"a":1}{"a":2}\n',
    "no object": b'{"a":1}\n[1]\n',
    "text alone": b'{"a":1}\n"x"\n',
    "null alone": b'{"a":1}\nnull\n',
    "twice": b'{"a":1}\n{"a":1,"a":1}\n',
    "twice inside": b'{"a":1}\n{"a":{"b":1,"b":2}}\n',
    "nan": b'{"a":1}\n{"a":NaN}\n',
    "infinity": b'{"a":1}\n{"a":-Infinity}\n',
    "comma": b'{"a":1}\n{"a":1,}\n',
    "control": b'{"a":1}\n{"a":"\x01"}\n',
    "encoding": '{"a":1}\n{"a":"姓名"}\n'.encode("gb18030"),
    "mixed": '{"a":"姓"}\n'.encode() + '{"a":"名"}\n'.encode("gb18030"),
    "depth": b'{"a":1}\n{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}\n",
    "half a character": b'{"a":1}\n{"a":"\\ud800"}\n',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("step", [1 << 10, 1 << 20])
def test_broken_files_are_told_by_name_and_line(content: bytes, step: int) -> None:
    with pytest.raises(Malformed, match=r"文件 a\.jsonl 第 2 行") as caught:
        _read(content, step)
    assert caught.value.remedy


def test_the_message_has_no_value() -> None:
    with pytest.raises(Malformed) as caught:
        _read(b'{"a":"11010119900307"\n')
    error: BaseException | None = caught.value
    while error:
        assert "11010119900307" not in str(error)
        error = error.__cause__


def test_a_line_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 1 << 16)
    with pytest.raises(Malformed, match="第 2 行超过"):
        _read(b'{"a":1}\n{"a":"' + b"x" * (1 << 18), 1 << 12)


def test_nested_values_refuse_their_row_unless_they_are_child_rows() -> None:
    content = '{"n":"1","材料":[{"b":1,"a":"x"}]}\n{"n":"2","材料":null}\n'.encode()
    assert _read(content, nested=["材料"])[0] == (1, {"n": "1", "材料": '[{"a":"x","b":"1"}]'})
    first = _read(content)[0][1]["材料"]
    assert why_unreadable(first) == UNREADABLE["nested"]
    assert why_unreadable(_read(b'{"a":{}}\n')[0][1]["a"]) == UNREADABLE["nested"]


def test_nothing_there() -> None:
    assert _read(b"") == _read(b"\n\n") == []


def _written(batch: pa.RecordBatch) -> str:
    writer = JsonLines().writer(batch.schema, JsonLines.writing(), None)
    return (writer.header() + writer.rows(batch) + b"".join(writer.trailer())).decode()


def test_what_is_written() -> None:
    items = (
        Item(name="数", label="数", type="I"),
        Item(name="rows", label="行", type="M", rows=(Item(name="a", label="a", type="C"),)),
    )
    schema = arrow_schema(items).append(pa.field("b", pa.float64())).append(pa.field("l", pa.bool_()))
    batch = pa.RecordBatch.from_pylist(
        [
            {"数": 2**63 - 1, "rows": '[{"a":"x"}]', "b": 0.1, "l": True},
            {"b": float("nan")},
        ],
        schema=schema,
    )
    assert _written(batch).splitlines() == [
        '{"数":9223372036854775807,"rows":[{"a":"x"}],"b":0.1,"l":true}',
        '{"数":null,"rows":null,"b":"nan","l":null}',
    ]
    assert _written(batch.slice(1)).count("\n") == 1
    assert _written(batch.slice(0, 0)) == ""


@given(st.lists(st.tuples(st.none() | st.text(max_size=5), st.text(min_size=1, max_size=5)), max_size=5))
def test_it_agrees_with_another_reader(rows: list[tuple[str | None, str]]) -> None:
    batch = pa.record_batch(
        {'a"\n': pa.array([a for a, _ in rows], pa.string()), "b": pa.array([b for _, b in rows], pa.string())}
    )
    text = _written(batch)
    assert [tuple(json.loads(line).values()) for line in text.split("\n")[:-1]] == rows
    assert [tuple(values.values()) for _, values in _read(text.encode())] == rows


@pytest.mark.parametrize("literal", ["1e99999999999999999999", "-1E-99999999999999999999", "0e99999999999999999999"])
def test_exponents_that_nothing_can_count(literal: str) -> None:
    assert _read(f'{{"a":{literal}}}'.encode()) == [(1, {"a": literal})]


@pytest.mark.parametrize("value", ["[1,1,1,1,1,1]", "[[[[[[]]]]]]", '{"b":1,"c":1,"d":1,"e":1,"f":{}}'])
def test_a_line_of_nothing_but_values(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = f'{{"a":{value}}}\n'.encode()
    assert _read(content, nested=("a",))
    monkeypatch.setattr(module, "VALUES", 5)
    with pytest.raises(Malformed, match="第 1 行有超过 5 个值"):
        _read(content, nested=("a",))
    assert _read(b'{"a":"' + b"x" * 100 + b'"}')
