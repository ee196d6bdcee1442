from __future__ import annotations

import base64

import pytest

from exchange.errors import Tampered
from exchange.secrets import seal, unseal

KEY = b"k" * 32


def test_what_is_sealed_comes_out_again_and_looks_different_each_time() -> None:
    one, other = seal("口令𠮷", KEY), seal("口令𠮷", KEY)
    assert one != other
    assert "口令" not in one
    assert unseal(one, KEY).get_secret_value() == unseal(other, KEY).get_secret_value() == "口令𠮷"
    assert "口令" not in repr(unseal(one, KEY))


def test_what_was_changed_does_not() -> None:
    content = bytearray(base64.b64decode(seal("x", KEY)))
    content[-1] ^= 1
    for sealed, key in (
        (base64.b64encode(content).decode(), KEY),
        (seal("x", KEY), b"l" * 32),
        ("", KEY),
        ("§", KEY),
        (seal("x", KEY)[:8], KEY),
    ):
        with pytest.raises(Tampered) as caught:
            unseal(sealed, key)
        assert caught.value.__cause__ is None
