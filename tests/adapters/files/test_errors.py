from __future__ import annotations

import errno
import os

import pytest

from adapters.errors import AdapterError, Unavailable
from adapters.files.errors import KINDS, shown, translated


@pytest.mark.parametrize("number", sorted(KINDS), ids=lambda number: errno.errorcode[number])
def test_what_is_known(number: int) -> None:
    error = translated(OSError(number, os.strerror(number), "/secret/place"), "a.csv")
    assert type(error) is KINDS[number][0]
    assert error.message.startswith("a.csv ")
    assert "/secret" not in error.message
    assert error.remedy


@pytest.mark.parametrize("number", [None, *sorted(set(errno.errorcode) - set(KINDS))])
def test_what_is_not_known_is_tried_again(number: int | None) -> None:
    error = translated(OSError(number, "x") if number else OSError("x"), "a.csv")
    assert isinstance(error, AdapterError)
    assert type(error) is Unavailable


def test_a_name_is_shown_in_one_line() -> None:
    assert shown("证照 1.csv") == "证照 1.csv"
    assert shown("a\nb\udcd6\u2028") == "a\\x0ab\\xd6\\u2028"
