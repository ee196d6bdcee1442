from __future__ import annotations

import errno
import os

import pytest

from adapters.errors import AdapterError, Unavailable
from adapters.files.errors import KINDS, translated


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
