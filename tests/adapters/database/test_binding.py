from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.base import Binding
from adapters.database.binding import table_options
from adapters.errors import Misconfigured

BOUND = Binding(object="t", columns={"id": "i", "name": "n"}, key=("id",))


def test_options_have_their_defaults() -> None:
    options = table_options(BOUND)
    assert (options.journal, options.overlap, options.text) == (False, 600, ())
    options = table_options(replace(BOUND, options={"journal": True, "overlap": 0, "text": ["n"]}))
    assert (options.journal, options.overlap, options.text) == (True, 0, ("n",))


@pytest.mark.parametrize("options", [{"journl": True}, {"overlap": -1}, {"overlap": "long"}, {"text": "n"}])
def test_wrong_options_are_refused_by_name(options: dict[str, object]) -> None:
    with pytest.raises(Misconfigured, match=next(iter(options))):
        table_options(replace(BOUND, options=options))


def test_everything_that_is_wrong_is_told_at_once() -> None:
    binding = Binding(
        object="shutong_ledger",
        columns={"id": "i", "name": "i", "area": "p"},
        key=("id", "code"),
        version="version",
        fixed={"p": "x" * 200},
    )
    with pytest.raises(Misconfigured) as caught:
        table_options(binding)
    for word in ("shutong_ledger", "code", "version", "id 和 name", "列 p", "120 个字符"):
        assert word in caught.value.message


def test_a_key_and_a_table_are_needed() -> None:
    with pytest.raises(Misconfigured, match="没有业务主键"):
        table_options(replace(BOUND, key=()))
    with pytest.raises(Misconfigured, match="不能用于挂接"):
        table_options(replace(BOUND, object=""))
