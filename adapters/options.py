"""Options read by name: what is wrong with them is told at once, in Chinese, and never with a value.

A validation error of pydantic quotes the input, and an option may be a secret; so the sentences are
made here from the error's type and limits alone.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import SecretStr, ValidationError

from adapters.base import Options
from adapters.errors import Misconfigured

Read = TypeVar("Read", bound=Options)

_SENTENCES = {
    "missing": "缺少此项",
    "string_type": "应为文本",
    "bool_type": "应为 true 或 false",
    "bool_parsing": "应为 true 或 false",
    "int_type": "应为整数",
    "int_parsing": "应为整数",
    "int_from_float": "应为整数",
    "float_type": "应为数值",
    "float_parsing": "应为数值",
    "dict_type": "应为“名称: 值”的表",
    "mapping_type": "应为“名称: 值”的表",
    "list_type": "应为列表",
    "tuple_type": "应为列表",
    "path_type": "应为路径",
    "finite_number": "应为有限的数值",
    "greater_than": "应大于 {gt}",
    "greater_than_equal": "应不小于 {ge}",
    "less_than": "应小于 {lt}",
    "less_than_equal": "应不大于 {le}",
    "string_too_short": "至少 {min_length} 个字符",
    "string_too_long": "至多 {max_length} 个字符",
    "string_pattern_mismatch": "写法不符合 {pattern}",
    "literal_error": "只能是 {expected}",
    "value_error": "{error}",
}


def read_options(options_type: type[Read], options: Mapping[str, Any], where: str) -> Read:
    """Read options into their type.

    Args:
        options_type: The options an endpoint kind or its bindings understand.
        options: As registered; secrets already opened.
        where: What the options belong to, for the message.

    Raises:
        Misconfigured: listing every problem at once.
    """
    try:
        return options_type.model_validate(dict(options))
    except ValidationError as error:
        problems = "；".join(
            _sentence(options_type, found["type"], found["loc"], found.get("ctx", {}))
            for found in error.errors(include_url=False, include_input=False)
        )
    # Raised outside the block: the validation error itself quotes the values.
    raise Misconfigured(f"{where}的选项有误：{problems}", remedy=f"可用的选项：{'、'.join(options_type.model_fields)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that offers the nearest known name, or nothing if none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"，是否想写 {near[0]}？" if near else ""


def secret_names(options_type: type[Options]) -> frozenset[str]:
    """The options that are secrets by type."""
    return frozenset(name for name, field in options_type.model_fields.items() if _is_secret(field.annotation))


def _sentence(options_type: type[Options], kind: str, place: tuple[int | str, ...], about: Mapping[str, Any]) -> str:
    where = " › ".join(str(part) for part in place) or "整体"
    if kind == "extra_forbidden":
        return f"{where}：没有这个选项{nearest(str(place[-1]), options_type.model_fields)}"
    sentence = _SENTENCES.get(kind)
    if sentence is None:
        return f"{where}：值不符合要求（{kind}）"
    limits = {name: f"{value:g}" if isinstance(value, float) else value for name, value in about.items()}
    return f"{where}：{sentence.format(**limits)}".replace(" or ", " 或 ")


def _is_secret(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_is_secret(part) for part in get_args(annotation))
    return annotation is SecretStr
