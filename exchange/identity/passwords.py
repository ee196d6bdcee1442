"""Passwords (口令): kept as argon2id hashes, and what is demanded of a new one."""

from __future__ import annotations

import secrets
import string
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type
from pydantic import SecretStr

LONGEST = 128
"""Characters of a password at most."""
_DIFFERENT = 6
_KINDS = 3
_ONE_TIME = 16
# Without letters and digits that look alike: somebody will type it off a sheet of paper.
_LEGIBLE = ("abcdefghijkmnpqrstuvwxyz", "ABCDEFGHJKLMNPQRSTUVWXYZ", "23456789")
_HASHER = PasswordHasher(
    # The first of the choices OWASP's Password Storage Cheat Sheet calls equal: 19 MiB, 2 passes, 1 lane. Some 20 ms
    # on one core of 2026, so that 20 sign-ins a second take less than half of one.
    time_cost=2,
    memory_cost=19 * 1024,
    parallelism=1,
    hash_len=32,
    salt_len=16,
    type=Type.ID,
)


def hashed(password: SecretStr) -> str:
    """The password as it may be kept."""
    return _HASHER.hash(_normal(password))


def matches(kept: str, password: SecretStr) -> bool:
    """Whether a password is the one that is kept; takes as long either way."""
    try:
        return _HASHER.verify(kept, _normal(password))
    except (VerificationError, InvalidHashError):
        return False


def outdated(kept: str) -> bool:
    """Whether a hash was made with other parameters than those of today."""
    return _HASHER.check_needs_rehash(kept)


def one_time() -> SecretStr:
    """A password to be handed over and changed at the first sign-in (一次性口令)."""
    letters = [secrets.choice(kind) for kind in _LEGIBLE]
    letters += [secrets.choice("".join(_LEGIBLE)) for _ in range(_ONE_TIME - len(letters))]
    secrets.SystemRandom().shuffle(letters)
    return SecretStr("".join(letters))


def weaknesses(password: SecretStr, *, shortest: int, about: tuple[str, ...] = ()) -> list[str]:
    """What is against a new password, in words that do not repeat it.

    Args:
        password: The password.
        shortest: Characters it must have.
        about: Words about its owner that it must not contain: login, name.
    """
    text = _normal(password)
    found = []
    if len(text) < shortest:
        found.append(f"不足 {shortest} 个字符")
    if len(text) > LONGEST:
        found.append(f"超过 {LONGEST} 个字符")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        found.append("含有控制字符")
    kinds = sum(
        any(letter in kind for letter in text)
        for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits)
    )
    kinds += any(not (letter.isascii() and letter.isalnum()) for letter in text)
    if kinds < _KINDS and len(text) < 2 * shortest:
        found.append(f"大写字母、小写字母、数字、其他字符应至少有三种，或长度不少于 {2 * shortest} 个字符")
    if len(set(text)) < _DIFFERENT:
        found.append(f"不同的字符少于 {_DIFFERENT} 个")
    low = text.casefold()
    if any(len(word) > 1 and word.casefold() in low for word in about):
        found.append("含有登录名或姓名")
    return found


def _normal(password: SecretStr) -> str:
    # One and the same password, whichever way a keyboard composes it.
    text = unicodedata.normalize("NFKC", password.get_secret_value())
    return text.encode("utf-8", "replace").decode()
