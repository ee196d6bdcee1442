"""The arithmetic of the log."""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.audit import chain
from exchange.audit.chain import Chain, Stored, available, canonical, instant_text
from exchange.errors import Invalid

KEY = b"k" * 32
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
EVENT = Stored(
    id=7,
    type="GrantExpired",
    at=datetime(2026, 1, 31, 8, 0, 0, 1, tzinfo=timezone(timedelta(hours=8))),
    actor="周审",
    established="os-user",
    department=None,
    resource="321200001/0001",
    exchange=None,
    run=None,
    body={"grant": "G1"},
    tag="",
    number=None,
    seal=None,
)


def test_the_canonical_form_is_fixed_for_good():
    value = {"b": [1, 1.5, None, True], "a": "𠮷/\u2028\n", "中": -0.0}
    assert canonical(value).decode() == '{"a":"𠮷/\u2028\\n","b":[1,1.5,null,true],"中":-0.0}'


@given(VALUES)
def test_the_canonical_form_survives_the_database(value):
    assert canonical(json.loads(json.dumps(value))) == canonical(value)


@given(VALUES, VALUES)
def test_different_values_have_different_forms(one, other):
    if canonical(one) == canonical(other):
        assert one == other


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_json_cannot_say_has_no_form(value):
    with pytest.raises(ValueError, match="Out of range"):
        canonical(value)


def test_an_instant_has_one_form():
    assert instant_text(EVENT.at) == "2026-01-31T00:00:00.000001Z"
    assert instant_text(datetime(2026, 1, 31, tzinfo=UTC)) == "2026-01-31T00:00:00.000000Z"


@pytest.mark.parametrize("algorithm", ["sha256", "sm3"])
def test_tag_and_seal_are_fixed_for_good(algorithm):
    one = Chain(KEY, algorithm)
    content = (
        '{"actor":"周审","at":"2026-01-31T00:00:00.000001Z","body":{"grant":"G1"},"department":null,'
        '"established":"os-user","exchange":null,"id":7,"resource":"321200001/0001","run":null,"type":"GrantExpired"}'
    )
    assert one.tag(EVENT) == hmac.new(KEY, f'["event",{content}]'.encode(), algorithm).hexdigest()
    sealed = f'["seal","abc",5,{content},""]'
    assert one.seal("abc", 5, EVENT) == hmac.new(KEY, sealed.encode(), algorithm).hexdigest()


def test_sm3_is_the_standard_s():
    # GB/T 32905-2016, example 1.
    digest = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert hashlib.new("sm3", b"abc").hexdigest() == digest


def test_a_digest_this_machine_lacks_is_refused(monkeypatch):
    def without_sm3(name, *arguments, **options):
        if name == "sm3":
            raise ValueError("unsupported hash type sm3")
        return hashlib.sha256(*arguments)

    monkeypatch.setattr(chain.hashlib, "new", without_sm3)
    assert not available("sm3")
    with pytest.raises(Invalid, match="sm3") as raised:
        Chain(KEY, "sm3")
    assert "sha256" in raised.value.remedy
    assert Chain(KEY, "sha256")._algorithms == ["sha256"]


def test_a_chain_shows_no_key():
    assert repr(Chain(KEY, "sha256")) == "Chain(***)"


def test_an_unsealed_event_is_not_in_its_place():
    assert not Chain(KEY, "sha256").is_sealed("", EVENT)
