from __future__ import annotations

import pytest
from pydantic import ValidationError

from adapters.files.options import FileOptions


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", "~"])
def test_delimiters(delimiter: str) -> None:
    assert FileOptions(delimiter=delimiter).delimiter == delimiter


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "\r", "\0", "a", "1", ".", "-", "+", "，"])
def test_what_is_none(delimiter: str) -> None:
    with pytest.raises(ValidationError):
        FileOptions(delimiter=delimiter)


def test_encodings() -> None:
    assert FileOptions().encoding == "utf-8"
    with pytest.raises(ValidationError):
        FileOptions(encoding="big5")  # type: ignore[arg-type]
