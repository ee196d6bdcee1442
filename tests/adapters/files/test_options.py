from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from adapters.errors import Misconfigured
from adapters.files.formats.csv import CsvReading, CsvWriting
from adapters.files.options import FORMATS, choose, inner_name, told_by
from adapters.files.sink import SinkOptions
from adapters.files.source import SourceOptions
from tests.adapters.files.conftest import binding


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a_*.csv", ("none", "csv")),
        ("a_*.XLSX", ("none", "xlsx")),
        ("a_*.jsonl", ("none", "jsonl")),
        ("a_*.ndjson.gz", ("gzip", "jsonl")),
        ("a_*.xml.zip", ("zip", "xml")),
        ("a_*.parquet", ("none", "parquet")),
        ("a_*.zip", ("zip", "csv")),
        ("*", ("none", "csv")),
        ("a_*.txt", ("none", "csv")),
    ],
)
def test_the_ending_tells(pattern: str, expected: tuple[str, str]) -> None:
    assert told_by(pattern) == expected
    chosen = choose(SourceOptions, binding(object=pattern), sink=False)
    assert (chosen.wrapper, chosen.format.name) == expected


def test_what_is_written_down_counts_more_than_the_ending() -> None:
    given = binding(object="a_*.dat.gz", options={"format": "jsonl", "wrapper": "none", "nested": ["材料"]})
    chosen = choose(SourceOptions, given, sink=False)
    assert (chosen.wrapper, chosen.format.name) == ("none", "jsonl")
    assert chosen.layout.model_dump() == {"nested": ("材料",)}


def test_each_option_goes_to_whom_it_concerns() -> None:
    given = binding(options={"encoding": "gb18030", "delimiter": ";", "null": "-", "complete": "age", "age": 3})
    chosen = choose(SourceOptions, given, sink=False)
    assert chosen.layout == CsvReading(encoding="gb18030", delimiter=";", null="-")
    assert (chosen.options.complete, chosen.options.age) == ("age", 3)


@pytest.mark.parametrize(
    ("object", "options", "sink", "words"),
    [
        ("a_*.xlsx", {"encoding": "gbk"}, False, ["encoding", "xlsx", "csv"]),
        ("a_*.csv", {"sheet": "名单"}, False, ["sheet", "csv", "xlsx"]),
        ("a_*.parquet", {"for_people": True}, True, ["for_people", "parquet"]),
        ("a_*.csv", {"for_people": True}, False, ["for_people"]),
        ("a_*.csv", {"encodng": "gbk", "x": 1}, False, ["encodng", "是否想写 encoding", "x", "complete"]),
        ("a_*.csv", {"format": "docx"}, False, ["format"]),
        ("a_*.csv", {"wrapper": "rar"}, False, ["wrapper"]),
        ("a_*.xlsx", {"head": 0}, False, ["head", "xlsx"]),
        ("a_*.xlsx", {"sheet": "a/b"}, True, ["sheet"]),
        ("a_*.xml", {"record": "a b"}, True, ["record"]),
        ("a_*.csv", {"encoding": "gbk"}, True, ["gbk"]),
    ],
)
def test_wrong_options_are_told_by_name(object: str, options: dict[str, Any], sink: bool, words: list[str]) -> None:
    with pytest.raises(Misconfigured) as caught:
        choose(SinkOptions if sink else SourceOptions, binding(object=object, options=options), sink=sink)
    said = caught.value.message + caught.value.remedy
    assert all(word in said for word in words)


def test_formats_are_told_apart() -> None:
    endings = [ending for each in FORMATS.values() for ending in each.endings]
    assert len(set(endings)) == len(endings)
    assert all(name == each.name for name, each in FORMATS.items())


def test_what_lies_in_a_wrapper_is_called() -> None:
    assert inner_name("a.csv.gz") == "a.csv"
    assert inner_name("a.xlsx.ZIP") == "a.xlsx"
    assert inner_name("a.csv") == "a.csv"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", "~"])
def test_delimiters(delimiter: str) -> None:
    assert CsvReading(delimiter=delimiter).delimiter == delimiter


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\r", "\0", "a", "1", ".", "-", "+", "，"])
def test_what_is_none(delimiter: str) -> None:
    with pytest.raises(ValidationError):
        CsvWriting(delimiter=delimiter)


def test_encodings() -> None:
    assert CsvReading().encoding == "utf-8"
    with pytest.raises(ValidationError):
        CsvReading(encoding="big5")  # type: ignore[arg-type]
