"""From what somebody wrote (YAML, a form, a program) to a draft, with everything unreadable named.

A field that cannot be read is named and left out, and the rest is read all the same: so the checks
of :mod:`catalog.validation` see as much as there is, and a clerk hears of everything at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from catalog.errors import Problem, Rejected
from catalog.model import Demand, Department, EndpointSpec, Resource, completed, shown
from catalog.vocabulary import SHARE_TYPES, choose
from schemas import GRADES, ITEM_TYPES, Item, Profile, RecordTable, SchemaError, profile, record_class

CHECKS: dict[str, str] = {
    "identity_number": "公民身份号码",
    "credit_code": "统一社会信用代码",
    "project_code": "投资项目代码",
    "licence_identifier": "电子证照标识",
}

ITEM_TITLES: dict[str, str] = {
    "label": "信息项名称",
    "name": "英文名称",
    "type": "数据类型",
    "length": "长度",
    "scale": "小数位",
    "mandatory": "是否必填",
    "code_list": "代码表",
    "reference": "引用类别",
    "check": "校验规则",
    "grade": "个人信息等级",
    "share_type": "共享类型",
    "rows": "子表行",
    "document": "附件",
}

_ITEM_WORDS: dict[str, Mapping[Any, str]] = {
    "type": ITEM_TYPES,
    "grade": GRADES,
    "check": CHECKS,
    "share_type": SHARE_TYPES,
}

_STAND_INS: dict[str, Any] = {
    "name": "？",
    "code": "？",
    "provider_code": "0" * 18,
    "abstract": "？",
    "formats": ("自描述格式/？",),
    "share_type": 3,
    "update_cycle": "yearly",
}
"""Take the place of what could not be read; no check looks at them."""

_MESSAGES: dict[str, tuple[str, str]] = {
    "missing": ("缺少", "补上这一项"),
    "string_type": ("应为文字", "数字和日期请加引号"),
    "string_unicode": ("含有看不见的字符", "删去后重新输入"),
    "string_too_short": ("不能为空", ""),
    "string_pattern_mismatch": ("只能用字母、数字和 . _ -，以字母或数字开头", ""),
    "tuple_type": ("应为列表", "即使只有一个也写成列表"),
    "dict_type": ("应为“名称: 值”的对照", ""),
    "model_type": ("应为“名称: 值”的对照", ""),
    "bool_type": ("应为是或否", ""),
    "bool_parsing": ("应为是或否", ""),
    "int_type": ("应为整数", ""),
    "int_parsing": ("应为整数", ""),
    "int_from_float": ("应为整数", ""),
    "date_type": ("应为日期", "写成 2026-01-31"),
    "date_parsing": ("不是日期", "写成 2026-01-31"),
    "date_from_datetime_parsing": ("不是日期", "写成 2026-01-31"),
    "date_from_datetime_inexact": ("应为日期，不带时刻", "写成 2026-01-31"),
    "invalid_key": ("名称应为文字", "请加引号"),
}

_LISTED = 12
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Form:
    """A registration taken from a file, with what could not be read in it."""

    given: Mapping[str, Any]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Draft:
    """A registration as far as it can be read.

    Attributes:
        resource: The resource, with stand-ins where a field could not be read.
        here: Where it is, for messages: ``资源 101001001/0001``.
        numbers: For each item, which one it was as written, from 1.
        unread: Fields that could not be read; ``items`` if any item could not.
        problems: What could not be read, and why.
    """

    resource: Resource
    here: str
    numbers: tuple[int, ...]
    unread: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()

    @property
    def numbered(self) -> Iterable[tuple[int, Item]]:
        """The items that could be read, each with its number."""
        return zip(self.numbers, self.resource.items, strict=True)


def read_resource(given: Resource | Form | Mapping[str, Any]) -> Draft:
    """Read a resource; what the clerk may leave out is filled in from the class and the family.

    Key, version item and columns may name items by their Chinese names.
    """
    if isinstance(given, Form):
        if not given.given:
            return Draft(
                Resource.model_validate(_STAND_INS), "登记表", (), frozenset(Resource.model_fields), given.problems
            )
        draft = read_resource(given.given)
        return replace(draft, problems=(*given.problems, *draft.problems))
    if isinstance(given, Resource):
        here = f"资源 {given.code}"
        resource = completed(given, class_table(given), family(given))
        return Draft(resource, here, tuple(range(1, len(resource.items) + 1)))
    written: Mapping[str, Any] = given if isinstance(given, Mapping) else {}
    code = written.get("code")
    here = f"资源 {shown(code)}" if isinstance(code, str) and code else "资源（未写代码）"
    shape = _shape(Resource, given, here, leave="items")
    raw = shape.rest.get("items", ())
    reading = _Items(here)
    if isinstance(raw, list | tuple):
        reading.read(raw, written.get("record_class"), written.get("table"))
    else:
        reading.problems.append(Problem(f"{here} › 信息项", *_MESSAGES["tuple_type"]))
    lost = bool(reading.problems)
    values = _STAND_INS | shape.good | {"items": tuple(reading.items)}
    resource = _by_name(Resource.model_validate(values))
    resource = completed(resource, None if lost else class_table(resource), family(resource))
    numbers = tuple(reading.numbers) or tuple(range(1, len(resource.items) + 1))
    unread = shape.bad | ({"items"} if lost else set())
    return Draft(resource, here, numbers, frozenset(unread), (*shape.problems, *reading.problems))


def _by_name(resource: Resource) -> Resource:
    """The same resource, items named by label in key, version item and columns named by name."""
    table = class_table(resource)
    items = resource.items or (table.items if table else ())
    names = {item.name for item in items}
    by_label = {item.label: item.name for item in items if item.label not in names}
    change: dict[str, Any] = {"key": tuple(by_label.get(name, name) for name in resource.key)}
    if resource.version_item is not None:
        change["version_item"] = by_label.get(resource.version_item, resource.version_item)
    if resource.offer is not None:
        columns = {by_label.get(name, name): column for name, column in resource.offer.columns.items()}
        change["offer"] = resource.offer.model_copy(update={"columns": columns})
    return resource.model_copy(update=change)


def read_department(given: Mapping[str, Any]) -> Department:
    """Read a department.

    Raises:
        Rejected: with everything that is wrong.
    """
    return _read(Department, given, f"部门 {_called(given, 'name', 'code')}")


def read_endpoint(given: Mapping[str, Any]) -> EndpointSpec:
    """Read an endpoint.

    Raises:
        Rejected: with everything that is wrong.
    """
    return _read(EndpointSpec, given, f"端点 {_called(given, 'name')}")


def read_demand(given: Mapping[str, Any]) -> Demand:
    """Read an entry of the list of demand.

    Raises:
        Rejected: with everything that is wrong.
    """
    return _read(Demand, given, f"需求 {_called(given, 'title')}")


def class_table(resource: Resource) -> RecordTable | None:
    """The table of its record class that a resource names; the only one need not be named."""
    return _table_of(resource.record_class, resource.table)


def _table_of(of_class: object, name: object) -> RecordTable | None:
    if not isinstance(of_class, str):
        return None
    try:
        tables = record_class(of_class).tables
    except SchemaError:
        return None
    if name is None:
        return tables[0] if len(tables) == 1 else None
    return next((table for table in tables if table.name == name), None)


def family(resource: Resource) -> Profile | None:
    """The front-end table family its offer names."""
    if resource.offer is None or resource.offer.profile is None:
        return None
    try:
        return profile(resource.offer.profile)
    except SchemaError:
        return None


def near(word: object, words: Iterable[str]) -> str:
    """A remedy naming what is spelt alike, else what there is."""
    words = list(words)
    alike = get_close_matches(str(word), words, n=3, cutoff=0.6)
    if alike:
        return f"是否指：{'、'.join(alike)}"
    return f"可填：{'、'.join(words[:_LISTED])}{' 等' if len(words) > _LISTED else ''}" if words else ""


@dataclass
class _Shape:
    good: dict[str, Any]
    rest: dict[str, Any]
    bad: set[str]
    problems: list[Problem]


@dataclass
class _Items:
    here: str
    items: list[Item] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def read(self, raw: Sequence[Any], of_class: object, table_name: object) -> None:
        for number, given in enumerate(raw, start=1):
            item = self._named(number, given, of_class, table_name) if isinstance(given, str) else given
            if isinstance(item, Mapping):
                item = self._described(number, item)
            elif item is not None and not isinstance(item, Item):
                self.problems.append(Problem(item_path(self.here, number, ""), *_MESSAGES["model_type"]))
                item = None
            if item is not None:
                self.items.append(item)
                self.numbers.append(number)

    def _named(self, number: int, name: str, of_class: object, table_name: object) -> Item | None:
        table = _table_of(of_class, table_name)
        where = item_path(self.here, number, name)
        if table is None:
            self.problems.append(Problem(where, "只写了名称", "写全信息项，或先写明数据类别和数据表"))
            return None
        found = next((item for item in table.items if name in (item.name, item.label)), None)
        if found is None:
            self.problems.append(
                Problem(where, f"数据表 {table.name} 没有这个信息项", near(name, (item.name for item in table.items)))
            )
        return found

    def _described(self, number: int, given: Mapping[str, Any]) -> Item | None:
        label = given.get("label")
        where = item_path(self.here, number, label if isinstance(label, str) else "")
        values, problems = _in_letters(given, where)
        rows = values.get("rows")
        if isinstance(rows, list | tuple):
            inside = f"{where} › {ITEM_TITLES['rows']} › 第"
            read = [
                _in_letters(row, f"{inside} {place} 项") if isinstance(row, Mapping) else (row, [])
                for place, row in enumerate(rows, start=1)
            ]
            values["rows"] = [row for row, _ in read]
            problems += [problem for _, found in read for problem in found]
        try:
            item = Item.model_validate(values)
        except ValidationError as error:
            problems += [_problem(detail, Item, where, ITEM_TITLES) for detail in error.errors()]
            item = None
        self.problems += problems
        return None if problems else item


def _in_letters(given: Mapping[str, Any], where: str) -> tuple[dict[str, Any], list[Problem]]:
    """What is written of an item with words as the letters they stand for."""
    values = dict(given)
    problems = []
    for name, words in _ITEM_WORDS.items():
        if values.get(name) is None:
            continue
        try:
            values[name] = choose(name, words, values[name])
        except PydanticCustomError as error:
            problems.append(Problem(f"{where} › {ITEM_TITLES[name]}", error.message(), _remedy(error.context)))
            del values[name]
    for name in ("mandatory", "document"):
        if isinstance(values.get(name), str):
            values[name] = {"是": True, "否": False}.get(values[name].strip(), values[name])
    if problems and "type" not in values:
        values["type"] = "M"
    return values, problems


def item_path(here: str, number: int, label: str) -> str:
    """Where an item is, for messages: ``… › 信息项 3（出生日期）``."""
    return f"{here} › 信息项 {number}" + (f"（{shown(label)}）" if label else "")


def title(model: type[BaseModel], name: str) -> str:
    """The Chinese title of a field."""
    known = model.model_fields.get(name)
    return (known.title if known else None) or name


def _called(given: object, *names: str) -> str:
    if not isinstance(given, Mapping):
        return "（未写名称）"
    return next(
        (shown(given[name]) for name in names if isinstance(given.get(name), str) and given[name]), "（未写名称）"
    )


def _read(model: type[M], given: Mapping[str, Any], here: str) -> M:
    shape = _shape(model, given, here)
    if shape.problems:
        raise Rejected(f"{here} 填写有误", shape.problems)
    return model.model_validate(shape.good)


def _shape(model: type[BaseModel], given: object, here: str, leave: str = "") -> _Shape:
    """Sort the fields of something written into those that can be read and those that cannot."""
    if not isinstance(given, Mapping):
        return _Shape({}, {}, set(model.model_fields), [Problem(here, *_MESSAGES["model_type"])])
    values = {name: value for name, value in given.items() if name != leave}
    rest = {leave: given[leave]} if leave in given else {}
    try:
        model.model_validate(values)
    except ValidationError as error:
        details = error.errors()
        bad = {str(detail["loc"][0]) for detail in details if detail["loc"]}
        good = {name: value for name, value in values.items() if name in model.model_fields and name not in bad}
        return _Shape(good, rest, bad, [_problem(detail, model, here, {}) for detail in details])
    return _Shape(values, rest, set(), [])


def _problem(detail: ErrorDetails, model: type[BaseModel], here: str, titles: Mapping[str, str]) -> Problem:
    where, at = [here], model
    known: Iterable[str] = model.model_fields
    for part in detail["loc"]:
        if isinstance(part, int):
            where.append(f"第 {part + 1} 项")
            continue
        known = at.model_fields
        where.append(titles.get(part) or shown(title(at, part)))
        at = _within(at, part)
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            message, remedy = "不认识的项", near(detail["loc"][-1], known)
        case "string_too_long":
            message, remedy = f"最多 {context['max_length']} 字", ""
        case "literal_error":
            message, remedy = "不在取值范围内", f"可填：{context['expected']}".replace(" or ", "、").replace(", ", "、")
        case "value_error":
            message, remedy = str(context["error"]), ""
        case kind if kind in _MESSAGES:
            message, remedy = _MESSAGES[kind]
        case _ if "remedy" in context:
            message, remedy = detail["msg"], _remedy(context)
        case _:
            message, remedy = "填写有误", "请对照说明重新填写"
    return Problem(" › ".join(where), message, remedy)


def _remedy(context: Mapping[str, Any] | None) -> str:
    return str((context or {}).get("remedy", ""))


def _within(model: type[BaseModel], name: str) -> type[BaseModel]:
    """The model inside a field, else the one around it."""
    known = model.model_fields.get(name)
    pending: list[Any] = [known.annotation] if known else []
    while pending:
        kind = pending.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
        pending += get_args(kind)
    return model
