from __future__ import annotations

import inspect
import re

import pytest

from adapters import errors
from adapters.errors import AdapterError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, AdapterError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_what_and_what_to_do(kind: type[AdapterError]) -> None:
    error = kind("目录不存在", remedy="建立目录")
    assert (str(error), error.message, error.remedy) == ("目录不存在", "目录不存在", "建立目录")


def test_only_one_is_tried_again() -> None:
    assert [kind for kind in KINDS if kind.retry] == [errors.Unanswered, errors.Unavailable]


def test_the_tree_in_the_text_is_the_tree() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    assert drawn == {kind.__name__ for kind in KINDS} - {"AdapterError"}
