"""Turning YAML or JSON into typed objects, with every problem told in the reader's own words."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from exchange.errors import Invalid, Problem

T = TypeVar("T")

TAG = "form:"
"""Tags of discriminated unions begin with this, so that they do not show in a path."""

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_UNREADABLE = "含有看不见的字符或残缺的字符"

_MESSAGES = {
    "missing": "缺少这一项",
    "extra_forbidden": "多余或不认识的键",
    "string_type": "应为文本（数字、日期请加引号）",
    "string_unicode": _UNREADABLE,
    "string_too_short": "不能为空",
    "string_too_long": "文本过长",
    "string_pattern_mismatch": "写法不对",
    "int_type": "应为整数",
    "int_parsing": "应为整数",
    "float_type": "应为数",
    "bool_type": "应为 true 或 false",
    "dict_type": "应为键值对",
    "model_type": "应为键值对",
    "tuple_type": "应为列表",
    "list_type": "应为列表",
    "too_short": "个数不足",
    "too_long": "个数过多",
    "greater_than_equal": "数值过小",
    "less_than": "数值过大",
    "less_than_equal": "数值过大",
    "finite_number": "应为有限的数",
    "literal_error": "不在可选范围内",
    "date_parsing": "应为日期，如 2026-12-31",
    "date_from_datetime_parsing": "应为日期，如 2026-12-31",
    "date_from_datetime_inexact": "应为日期，如 2026-12-31",
    "date_type": "应为日期，如 2026-12-31",
}


def printable(text: str) -> str:
    """Refuse what no database or message would carry unharmed."""
    if any(unicodedata.category(letter) in _UNSEEN and letter not in "\t\n\r" for letter in text):
        raise ValueError(_UNREADABLE)
    return text


def askable(name: str) -> bool:
    """Whether a name can be asked for at all: what no database can hold stands in none."""
    return all(unicodedata.category(letter) not in _UNSEEN for letter in name)


Text = Annotated[str, AfterValidator(printable)]
"""Text without controls, direction marks and half characters; tab and line ends may stand in it."""


_SENTENCES: TypeAdapter[list[str]] = TypeAdapter(list[Annotated[Text, Field(max_length=2000)]])


def read(adapter: TypeAdapter[T], data: Any, where: str) -> T:
    """Read data into the adapter's type.

    Args:
        adapter: What to read into.
        data: Plain values, as YAML and JSON give them.
        where: What is being read, in the user's terms.

    Raises:
        Invalid: With every problem found.
    """
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        # The cause would print the values given; the problems say where without them.
        raise Invalid(f"{where}有误", problems_of(error, where)) from None


def problems_of(error: ValidationError, where: str) -> list[Problem]:
    """The problems of a validation error, in Chinese, without the values given."""
    found: dict[tuple[str, ...], Problem] = {}
    for detail in error.errors(include_url=False, include_input=False):
        path = tuple(
            str(step + 1) if isinstance(step, int) else step
            for step in detail["loc"]
            if isinstance(step, int) or not step.startswith(TAG)
        )
        if detail["type"] == "too_short" and any(other[: len(path)] == path for other in found):
            continue  # it is too short only because its parts were wrong
        message = _MESSAGES.get(detail["type"]) or detail["msg"].removeprefix("Value error, ")
        expected = detail.get("ctx", {}).get("expected")
        remedy = f"可选：{expected}" if detail["type"] == "literal_error" and expected else ""
        found.setdefault(path, Problem(where=" › ".join([where, *path]), message=message, remedy=remedy))
    return list(found.values())


def sentences(texts: Sequence[str], where: str) -> list[str]:
    """What people wrote to give their reasons, without empty ones.

    Raises:
        Invalid: Something in it cannot be read by others.
    """
    found = [text.strip() for text in read(_SENTENCES, list(texts), where)]
    return [text for text in found if text]


def near(name: str, known: Iterable[str]) -> str:
    """The words to append to "unknown name": what is near, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=3)
    return f"，是否指 {'、'.join(close)}" if close else ""


def quoted(text: str) -> str:
    """Text in Chinese quotation marks, cut to a readable length, line ends made visible."""
    shown = text if len(text) <= 60 else text[:60] + "…"
    return "“" + shown.replace("\r", "␍").replace("\n", "␊").replace("\t", "␉") + "”"
