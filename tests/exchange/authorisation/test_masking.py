from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.authorisation import masking

TEXTS = st.lists(st.none() | st.text(alphabet="01X张𠮷省市区路小 \n", max_size=24), max_size=8)
KEY = bytes(range(32))


@settings(deadline=None)
@given(TEXTS, st.integers(0, 6), st.integers(0, 4), st.integers(1, 18))
def test_ends_hide_the_middle(values: list[str | None], first: int, last: int, more: int) -> None:
    shortest = first + last + more
    found = masking.ends(pa.array(values, pa.string()), first=first, last=last, shortest=shortest).to_pylist()
    for value, shown in zip(values, found, strict=True):
        if value is None:
            assert shown is None
        elif len(value) < shortest:
            assert shown == "*" * len(value)
        else:
            hidden = len(value) - first - last
            assert shown == value[:first] + "*" * hidden + value[len(value) - last :]


@settings(deadline=None)
@given(TEXTS)
def test_a_district_is_a_beginning_of_the_address(values: list[str | None]) -> None:
    found = masking.district(pa.array(values, pa.string())).to_pylist()
    for value, shown in zip(values, found, strict=True):
        if value is None:
            assert shown is None
        else:
            assert value.strip().startswith(shown) or set(shown) == {"*"}
            assert "路" not in shown
            assert "小区" not in shown
            assert len(shown) <= max(len(value), 0)


@settings(deadline=None)
@given(TEXTS)
def test_only_codes_of_organisations_are_open(values: list[str | None]) -> None:
    found = masking.credit_code(pa.array(values, pa.string())).to_pylist()
    for value, shown in zip(values, found, strict=True):
        assert (shown is None) == (value is None)
        assert not value or "*" in shown


@pytest.mark.parametrize("value", ["91321202MA0TE00A1K", "11321200TE00000291"])
def test_an_organisation_is_open(value: str) -> None:
    assert masking.credit_code(pa.array([value])).to_pylist() == [value]


@settings(deadline=None)
@given(TEXTS)
def test_the_keyed_digest_is_the_same_in_any_cut(values: list[str | None]) -> None:
    whole = masking.keyed(pa.array(values, pa.string()), KEY, "sha256").to_pylist()
    single = [masking.keyed(pa.array([value], pa.string()), KEY, "sha256")[0].as_py() for value in values]
    sliced = masking.keyed(pa.array(["x", *values], pa.string())[1:], KEY, "sha256").to_pylist()
    assert whole == single == sliced
