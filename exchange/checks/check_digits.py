"""Check digits of the field's identifiers: one by one, and for whole columns at once.

- identity number (公民身份号码, GB 11643): 18 characters, MOD 11-2, a real birth date that is not in the
  future. The division part is the one at first registration and may be abolished: it is not looked at.
- unified social credit code (统一社会信用代码, GB 32100): 18 characters, MOD 31-3.
- investment project code (投资项目代码, GB/T 40058): ``YYMM-RRRRRR-DD-TT-NNNNNC``, MOD 11,10; the old style
  ``YYYY-…`` (2015 to 2020) carries no check digit. Both are also taken without hyphens.
- e-licence identifier (电子证照标识, GB/T 36904): ``1.2.156.3005.2.`` type ``.`` issuer ``.`` serial ``.``
  version ``.`` check; MOD 37,36 over the four parts, without root and dots. Real issuers are not always
  18 characters long, so their length is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from enum import IntEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from stdnum.cn import uscc
from stdnum.iso7064 import mod_11_2, mod_11_10, mod_37_36

from exchange.checks.buffers import byte_lengths, matrix, rows_where
from exchange.errors import Invalid

LICENCE_ROOT = "1.2.156.3005.2."
"""Root identifier of e-licences (GB/T 36904)."""

_CREDIT_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_LICENCE_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ROOT = np.frombuffer(LICENCE_ROOT.encode(), np.uint8)[:, np.newaxis]
_SHORTEST_LICENCE = len(LICENCE_ROOT + "T" * 21 + ".I.S.VVV.C")
_OLD_PROJECT_YEARS = (15, 20)

Lines = npt.NDArray[np.uint8]
"""Characters of equally long values: line j holds the j-th character of each."""


class Verdict(IntEnum):
    """What a look at an identifier said."""

    FINE = 0
    SHAPE = 1
    """Wrong length or wrong structure."""
    ALPHABET = 2
    """A character that cannot stand there."""
    DATE = 3
    """A date inside that does not exist."""
    FUTURE = 4
    """A birth date after today."""
    CHECK_DIGIT = 5


Verdicts = npt.NDArray[np.uint8]


def identity_number_check(first17: str) -> str:
    """The 18th character of an identity number (公民身份号码): ``0`` to ``9`` or ``X``."""
    _expect(first17, 17, "0123456789", "公民身份号码前 17 位")
    return str(mod_11_2.calc_check_digit(first17))


def credit_code_check(first17: str) -> str:
    """The 18th character of a unified social credit code (统一社会信用代码)."""
    _expect(first17, 17, _CREDIT_ALPHABET, "统一社会信用代码前 17 位")
    return str(uscc.calc_check_digit(first17))


def project_code_check(first19: str) -> str:
    """The last digit of a new-style project code (投资项目代码) from its first 19 digits; hyphens are skipped."""
    digits = first19.replace("-", "")
    _expect(digits, 19, "0123456789", "投资项目代码前 19 位")
    return str(mod_11_10.calc_check_digit(digits))


def licence_check(body: str) -> str:
    """The check character of an e-licence identifier (电子证照标识).

    Args:
        body: Type, issuer, serial and version, with or without the dots between and the root before them.
    """
    characters = body.removeprefix(LICENCE_ROOT).replace(".", "")
    _expect(characters, len(characters) or 1, _LICENCE_ALPHABET, "电子证照标识主体")
    return str(mod_37_36.calc_check_digit(characters))


def _expect(text: str, length: int, alphabet: str, name: str) -> None:
    if len(text) != length or any(character not in alphabet for character in text):
        raise Invalid(f"{name}应为 {length} 个字符，只用 {alphabet}")


def month_days(year: npt.NDArray[np.int64], month: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
    """Day of the epoch on which each month begins, and how many days it has; months 1 to 12 only."""
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    first = months.astype("datetime64[D]").astype(np.int64)
    return first, (months + np.timedelta64(1, "M")).astype("datetime64[D]").astype(np.int64) - first


def identity_numbers(values: pa.StringArray, today: date) -> Verdicts:
    """Look at a column of identity numbers; null is fine."""
    verdicts, rows, characters = _start(values, 18)
    digits = characters[:17] - 48
    figures = digits.astype(np.int64)
    year = figures[6] * 1000 + figures[7] * 100 + figures[8] * 10 + figures[9]
    month = figures[10] * 10 + figures[11]
    day = figures[12] * 10 + figures[13]
    _, length = month_days(year, np.clip(month, 1, 12))
    dated = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= length)
    future = (year * 100 + month) * 100 + day > (today.year * 100 + today.month) * 100 + today.day
    total = _weighted(digits, (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2))
    expected = np.frombuffer(b"10X98765432", np.uint8)[total % 11]
    last = characters[17]
    alphabet = (digits.max(axis=0, initial=0) <= 9) & ((last - 48 <= 9) | (last == ord("X")))
    verdicts[rows] = np.select(
        [~alphabet, ~dated, future, last != expected],
        [np.uint8(v) for v in (Verdict.ALPHABET, Verdict.DATE, Verdict.FUTURE, Verdict.CHECK_DIGIT)],
        np.uint8(Verdict.FINE),
    )
    return verdicts


def credit_codes(values: pa.StringArray) -> Verdicts:
    """Look at a column of unified social credit codes; null is fine."""
    verdicts, rows, characters = _start(values, 18)
    numbers = _CREDIT_VALUES[characters]
    total = _weighted(numbers[:17], tuple(pow(3, place, 31) for place in range(17)))
    # A sum of 0 leaves 31, which stands for 0 again: hence the outer remainder.
    expected = (31 - total % 31) % 31
    verdicts[rows] = _judge(numbers.max(axis=0, initial=0) < 31, numbers[17] == expected)
    return verdicts


def project_codes(values: pa.StringArray) -> Verdicts:
    """Look at a column of investment project codes of either style; null is fine."""
    verdicts, rows, characters = _start(values, 24)
    hyphens = (4, 11, 14, 17)
    shaped = (characters[list(hyphens)] == ord("-")).all(axis=0)
    digits = np.delete(characters, hyphens, axis=0)
    verdicts[rows] = np.where(shaped, _project_digits(digits), np.uint8(Verdict.SHAPE))
    rows, digits = matrix(values, 20)
    verdicts[rows] = _project_digits(digits)
    return verdicts


def _project_digits(characters: Lines) -> Verdicts:
    digits = characters - 48
    numeric = digits.max(axis=0, initial=0) <= 9
    figures = np.where(numeric, digits, np.uint8(0))
    check = figures[19] == (11 - _hybrid(figures[:19], 10)) % 10
    century, rest = (figures[0] * 10 + figures[1]), (figures[2] * 10 + figures[3])
    new = (rest >= 1) & (rest <= 12)
    old = (century == 20) & (rest >= _OLD_PROJECT_YEARS[0]) & (rest <= _OLD_PROJECT_YEARS[1])
    return np.select(
        [~numeric, ~new & ~old, new & ~check],
        [np.uint8(v) for v in (Verdict.ALPHABET, Verdict.DATE, Verdict.CHECK_DIGIT)],
        np.uint8(Verdict.FINE),
    )


def licence_identifiers(values: pa.StringArray) -> Verdicts:
    """Look at a column of e-licence identifiers; null is fine."""
    verdicts = np.full(len(values), Verdict.SHAPE, np.uint8)
    verdicts[rows_where(pc.is_null(values))] = Verdict.FINE
    for width in np.unique(byte_lengths(values)).tolist():
        if width >= _SHORTEST_LICENCE:
            rows, characters = matrix(values, width)
            verdicts[rows] = _licence_characters(characters)
    return verdicts


def _licence_characters(characters: Lines) -> Verdicts:
    root = (characters[: len(_ROOT)] == _ROOT).all(axis=0)
    numbers = _LICENCE_VALUES[characters[len(_ROOT) :]]
    dots = numbers == _DOT
    # Dots stand after the type, one between issuer and serial, and around the version; nowhere else.
    between = ~dots[22] & ~dots[-7] & (dots[22:-6].sum(axis=0) == 1)
    parted = dots[21] & between & dots[-6] & dots[-2] & (dots.sum(axis=0) == 4)
    shaped = root & parted & (numbers[-5:-2].max(axis=0, initial=0) <= 9)
    expected = (37 - _hybrid(numbers[:-1], 36, dots)) % 36
    return np.select(
        [~shaped, numbers.max(axis=0, initial=0) > _DOT, numbers[-1] != expected],
        [np.uint8(v) for v in (Verdict.SHAPE, Verdict.ALPHABET, Verdict.CHECK_DIGIT)],
        np.uint8(Verdict.FINE),
    )


def verdicts(check: str, values: pa.StringArray, today: date) -> Verdicts:
    """Look at a column by the name of its rule in the items (``identity_number``, ``credit_code``…)."""
    if check == "identity_number":
        return identity_numbers(values, today)
    return _UNDATED[check](values)


def _start(values: pa.StringArray, width: int) -> tuple[Verdicts, npt.NDArray[np.int64], Lines]:
    verdicts = np.full(len(values), Verdict.SHAPE, np.uint8)
    if values.null_count:
        verdicts[rows_where(pc.is_null(values))] = Verdict.FINE
    rows, characters = matrix(values, width)
    if len(rows) + values.null_count < len(values):
        # As many characters as there should be, but not so many bytes: the length is not what is wrong.
        verdicts[rows_where(pc.equal(pc.utf8_length(values), pa.scalar(width, pa.int32())))] = Verdict.ALPHABET
    return verdicts, rows, characters


def _judge(alphabet: npt.NDArray[np.bool_], check: npt.NDArray[np.bool_]) -> Verdicts:
    return np.select(
        [~alphabet, ~check], [np.uint8(Verdict.ALPHABET), np.uint8(Verdict.CHECK_DIGIT)], np.uint8(Verdict.FINE)
    )


def _weighted(numbers: Lines, weights: tuple[int, ...]) -> npt.NDArray[np.uint32]:
    total = np.zeros(numbers.shape[1], np.uint32)
    for line, weight in zip(numbers, weights, strict=True):
        total += line.astype(np.uint32) * np.uint32(weight)
    return total


def _values(alphabet: str, other: int) -> Lines:
    table = np.full(256, other, np.uint8)
    table[list(alphabet.encode())] = np.arange(len(alphabet))
    return table


_CREDIT_VALUES = _values(_CREDIT_ALPHABET, 255)
_DOT, _STRANGE = 36, 37
_LICENCE_VALUES = _values(_LICENCE_ALPHABET, _STRANGE)
_LICENCE_VALUES[ord(".")] = _DOT


def _hybrid(numbers: Lines, symbols: int, skipped: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.int64]:
    """State of an ISO 7064 hybrid system (MOD M+1,M) after some lines; ``skipped`` places change nothing."""
    modulus = symbols + 1
    state = np.full(numbers.shape[1], symbols, np.uint8)
    for place, line in enumerate(numbers):
        # A remainder without division: below zero a byte wraps to something large, and the smaller one is it.
        following = state + line - 1
        following = (np.minimum(following, following - symbols) + 1) * 2
        following = np.minimum(following, following - modulus)
        state = following if skipped is None else np.where(skipped[place], state, following)
    return state.astype(np.int64)


_UNDATED: dict[str, Callable[[pa.StringArray], Verdicts]] = {
    "credit_code": credit_codes,
    "project_code": project_codes,
    "licence_identifier": licence_identifiers,
}
