from __future__ import annotations

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from exchange.identity.passwords import LONGEST, hashed, matches, one_time, outdated, weaknesses

GOOD = SecretStr("Correct-horse-7-battery")


def test_a_hash_is_argon2id_as_owasp_has_it_and_holds_one_password() -> None:
    kept = hashed(GOOD)
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert kept != hashed(GOOD)
    assert matches(kept, GOOD)
    assert not matches(kept, SecretStr(GOOD.get_secret_value() + " "))
    assert not matches("no hash", GOOD)
    assert not outdated(kept)


def test_a_hash_of_other_parameters_still_holds_and_is_to_be_made_anew() -> None:
    kept = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(GOOD.get_secret_value())
    assert matches(kept, GOOD)
    assert outdated(kept)


def test_it_does_not_matter_how_a_keyboard_composes_a_letter() -> None:
    assert matches(hashed(SecretStr("Ｐassword-é-\ufb01")), SecretStr("Password-e\u0301-fi"))


@given(st.text(max_size=LONGEST + 5))
def test_whatever_is_typed_is_judged_and_hashed(text: str) -> None:
    assert isinstance(weaknesses(SecretStr(text), shortest=12), list)
    assert not matches(SHORT, SecretStr("x" + text))


SHORT = hashed(GOOD)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Correct-horse-7-battery", []),
        ("一二三四五六七八九十Aa1", []),
        ("correct horse battery staple", []),
        ("Short-1", ["不足 12 个字符"]),
        ("alllowercase!", ["三种"]),
        ("Aa1Aa1Aa1Aa1", ["不同的字符"]),
        ("Zhangsan-12345", ["登录名"]),
        ("张三-Abc-1234567", ["登录名"]),
        ("Tab\tbing-12345", ["控制字符"]),
        ("Aa1!" + "bcdefg" * 30, [f"超过 {LONGEST}"]),
    ],
)
def test_what_is_demanded_of_a_new_one(text: str, found: list[str]) -> None:
    told = weaknesses(SecretStr(text), shortest=12, about=("zhangsan", "张三"))
    assert len(told) == len(found)
    for each, part in zip(told, found, strict=True):
        assert part in each
        assert text not in each


def test_one_time_passwords_differ_and_are_good_ones() -> None:
    made = {one_time().get_secret_value() for _ in range(200)}
    assert len(made) == 200
    for text in made:
        assert weaknesses(SecretStr(text), shortest=12) == []
        assert not set(text) & set("lI1O0")
