"""Files that are rows: what can be bound, and what their names tell."""

from __future__ import annotations

import pyarrow as pa
import pytest

from adapters.errors import Misconfigured, Unsupported
from adapters.files.formats.document import Described, DocumentReading, Documents, header_of, moment
from adapters.options import read_options
from schemas.unreadable import unreadable


def test_fields_of_a_name() -> None:
    found = Described("{number}_{issued}").fields(["A-1_2024-01-02.pdf", "没有.pdf", "a_b_c.ofd", "a_b"])
    bad = unreadable("document_naming", "没有.pdf")
    assert {name: column.to_pylist() for name, column in found.items()} == {
        "number": ["A-1", bad, "a", "a"],
        "issued": ["2024-01-02", bad, "b_c", "b"],
    }


def test_texts_around_fields_are_taken_as_they_are() -> None:
    assert Described("证照({number}).{year}").fields(["证照(7).2024.pdf"])["year"].to_pylist() == ["2024"]
    assert Described("").fields(["a.pdf"]) == {}
    assert header_of("{number}") == ("name", "size", "modified", "sha256", "document", "number")


@pytest.mark.parametrize("naming", ["plain", "{a}{b}", "{a}_{a}", "{name}_{b}", "{1}", "{}"])
def test_a_rule_that_cannot_be_followed(naming: str) -> None:
    with pytest.raises(Misconfigured, match="naming"):
        read_options(DocumentReading, {"naming": naming}, "文件挂接")


def test_there_are_no_rows_in_it() -> None:
    with pytest.raises(Unsupported, match="本身就是一行"):
        Documents().reader([], "a.pdf", DocumentReading())
    with pytest.raises(Unsupported, match="只用于收取"):
        Documents().writer(pa.schema([]), DocumentReading(), None)


def test_a_time() -> None:
    assert moment(0) == "1970-01-01T00:00:00Z"
