"""Reading the settings of a home, and saying everything that is wrong with them in the user's terms."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from exchange.errors import Invalid, Problem
from exchange.settings.model import (
    FILE,
    PREFIX,
    SECRET_PREFIX,
    Accounts,
    ActorEntry,
    Airflow,
    Answering,
    Deadline,
    Documents,
    Limits,
    Messages,
    OpenId,
    Retention,
    Settings,
    Soap,
    Step,
    default_home,
)


def load_settings(home: Path | None = None) -> Settings:
    """Read and check the settings of a home.

    Args:
        home: The hub's home; without it ``SHUTONG_HOME`` or ``~/.shutong``.

    Raises:
        Invalid: Something is wrong; every problem is listed, no value is repeated.
    """
    place = (home if home is not None else default_home()).expanduser().absolute()
    file = place / FILE
    problems = _unknown_variables()
    try:
        settings = Settings(home=place)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        raise _invalid(place, [*problems, *(_problem(detail, file) for detail in details)]) from error
    except tomllib.TOMLDecodeError as error:
        raise _invalid(place, [*problems, Problem(str(file), f"不是正确的 TOML：{error}")]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(place, [*problems, Problem(str(file), "无法读取，应为当前用户可读的 UTF-8 文件")]) from error
    except SettingsError as error:
        wrong = Problem(f"{PREFIX}*", "有环境变量应为 JSON 而写错了", "结构化的设置写成 JSON，或逐项用 __ 分隔")
        raise _invalid(place, [*problems, wrong]) from error
    if file.exists() and "home" in tomllib.loads(file.read_text(encoding="utf-8")):
        problems.append(Problem(f"{file} › home", "主目录不能写在它自己的设置里", f"删去这一行，改用 {PREFIX}HOME"))
    if problems:
        raise _invalid(place, problems)
    return settings


def _invalid(place: Path, problems: list[Problem]) -> Invalid:
    file = place / FILE
    if file.exists():
        return Invalid("系统设置有误", problems, remedy=f"修改 {file}")
    start = "先执行 shutong init 建立，或用 --home 或 SHUTONG_HOME 指明主目录"
    return Invalid(f"{place} 里还没有枢纽：没有设置文件 {FILE}", problems, remedy=start)


FILE_ONLY = ("actors", "demo")
"""Settings that say who somebody is: whoever could set them for his own process could be anybody."""


def _unknown_variables() -> list[Problem]:
    barred = {f"{PREFIX}{name.upper()}" for name in FILE_ONLY}
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} - barred
    given = [
        (name, name.split("__")[0])
        for name in sorted(os.environ)
        if name.startswith(PREFIX) and not name.startswith(SECRET_PREFIX)
    ]
    return [
        Problem(name, "只能写在设置文件里，不能用环境变量", f"由系统管理员修改 {FILE}")
        if setting in barred
        else Problem(name, "没有这个设置项", _meant(name, known) or f"若是口令，变量名请以 {SECRET_PREFIX} 开头")
        for name, setting in given
        if setting not in known
    ]


def _meant(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, sorted(known), n=2)
    return f"是否指 {'、'.join(near)}" if near else ""


_MESSAGES = {
    "missing": "缺少这一项",
    "string_too_short": "不能为空",
    "string_too_long": "过长，最多 {max_length} 个字符",
    "string_type": "应为文本",
    "string_pattern_mismatch": "含有不允许的字符",
    "int_type": "应为整数",
    "int_parsing": "应为整数",
    "int_from_float": "应为整数",
    "float_type": "应为数字",
    "float_parsing": "应为数字",
    "bool_type": "应为 true 或 false",
    "bool_parsing": "应为 true 或 false",
    "greater_than": "应大于 {gt}",
    "greater_than_equal": "不得小于 {ge}",
    "less_than_equal": "不得大于 {le}",
    "literal_error": "只能是 {expected} 之一",
    "enum": "只能是 {expected} 之一",
    "too_short": "至少要有 {min_length} 项",
    "dict_type": "应为一组设置",
    "model_type": "应为一组设置",
    "path_type": "应为路径",
    "tuple_type": "应为列表",
    "frozen_set_type": "应为列表",
}


def _problem(detail: ErrorDetails, file: Path) -> Problem:
    path = [str(part) for part in detail["loc"] if part != "[key]"]
    context = detail.get("ctx", {})
    kind = detail["type"]
    if kind == "extra_forbidden":
        return Problem(_where(path, file), "没有这个设置项", _meant(path[-1], _known(path)))
    if kind == "value_error":
        return Problem(_where(path, file), str(context["error"]))
    return Problem(_where(path, file), message_of(detail))


def message_of(detail: ErrorDetails) -> str:
    """What is wrong with a value, in the users' words."""
    kind, context = detail["type"], detail.get("ctx", {})
    return _MESSAGES.get(kind, "不符合要求（{type}）").format(type=kind, **context).replace(" or ", "、")


def _known(path: list[str]) -> Iterable[str]:
    """Names allowed where the last part of the path stands."""
    parts: dict[str, type[BaseModel]] = {
        "actors": ActorEntry, "retention": Retention, "answers": Answering, "soap": Soap, "limits": Limits,
        "documents": Documents,
        "messages": Messages, "airflow": Airflow, "accounts": Accounts,
    }  # fmt: skip
    if len(path) == 1:
        return Settings.model_fields
    if path[0] == "deadlines":
        return get_args(Step) if len(path) == 3 else Deadline.model_fields  # region, step, number
    if path[:2] == ["accounts", "oidc"] and len(path) == 3:
        return OpenId.model_fields
    return parts[path[0]].model_fields if path[0] in parts else ()


def _where(path: list[str], file: Path) -> str:
    """The variable the value came from if there is one, else its place in the file."""
    for length in range(len(path), 0, -1):
        variable = PREFIX + "__".join(path[:length]).upper()
        if variable in os.environ:
            return " › ".join([variable, *path[length:]])
    return " › ".join([str(file), *path])
