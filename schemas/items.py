"""Items (信息项) and the one table from registered type to Arrow type.

Type letters after the catalogue guide (政务信息资源目录编制指南, 2017, 信息项数据类型).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer, model_validator

ITEM_TYPES: dict[str, str] = {
    "C": "字符型",
    "N": "数值型",
    "Y": "货币型",
    "D": "日期型",
    "T": "日期时间型",
    "L": "逻辑型",
    "M": "备注型",
    "G": "通用型",
    "B": "双精度型",
    "I": "整型",
    "F": "浮点型",
}

GRADES: dict[str, str] = {
    "none": "非个人信息",
    "personal": "个人信息",
    "sensitive": "敏感个人信息",
}

_GRADES = tuple(GRADES)
ROWS = b"rows"
"""Key of the field metadata with the items of child rows."""
DOCUMENT = b"document"
"""Key of the field metadata that says of an item that its values stand for files."""

Check = Literal["identity_number", "credit_code", "project_code", "licence_identifier"]


class Item(BaseModel):
    """One item of a resource (信息项).

    Attributes:
        name: Name in data: letters, digits, underscore; at most 63 characters.
        label: Chinese name shown to people.
        type: A letter of :data:`ITEM_TYPES`.
        length: Characters for C; digits in all for N and Y. None: the type's widest.
        scale: Digits after the point, for N and Y.
        mandatory: A row without it is refused.
        code_list: Name of the code list whose values it takes; a value outside refuses the row.
        reference: Name of the class it refers to (``service_item``, 政务服务事项), whose item of the same
            name holds the known values: an unknown one is kept with a state, never refused.
        check: Check-digit rule its values follow.
        grade: Personal-data grade, a key of :data:`GRADES`.
        share_type: Sharing type of this item if it differs from its resource: 1, 2 or 3.
        rows: Items of each of its child rows (子表行): then its value is all of these rows as one text, see
            :mod:`schemas.child_rows`.
        document: Its value is a file that travels with the row (附件), see :mod:`schemas.documents`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    label: str
    type: Literal["C", "N", "Y", "D", "T", "L", "M", "G", "B", "I", "F"]
    length: int | None = None
    scale: int | None = None
    mandatory: bool = False
    code_list: str | None = None
    reference: str | None = None
    check: Check | None = None
    grade: Literal["none", "personal", "sensitive"] = "none"
    share_type: Literal[1, 2, 3] | None = None
    rows: tuple[Item, ...] = ()
    document: bool = False

    @model_validator(mode="after")
    def _coherent(self) -> Item:
        if self.scale is not None and self.type not in "NY":
            raise ValueError("小数位只用于数值型 N 和货币型 Y")
        if self.length is not None and self.length < 1:
            raise ValueError("长度至少为 1")
        if self.length is not None and self.type in "NY" and self.length > 38:
            raise ValueError("数值型最多 38 位")
        if self.check and self.type != "C":
            raise ValueError("校验规则只用于字符型 C")
        if self.document and (self.type != "G" or self.code_list or self.reference or self.length):
            raise ValueError("附件用通用型 G，不写长度、代码表和引用类别")
        if self.rows and (wrong := "；".join(self._wrong_rows())):
            raise ValueError(wrong)
        return self

    def _wrong_rows(self) -> list[str]:
        found = [] if self.type == "M" else ["有子表行的信息项用备注型 M"]
        if self.length is not None or self.code_list or self.reference:
            found.append("有子表行的信息项不写长度、代码表和引用类别，写在子信息项上")
        names = [item.name.casefold() for item in self.rows]
        found += [f"子信息项 {name} 重复" for name in dict.fromkeys(names) if names.count(name) > 1]
        for item in self.rows:
            if item.rows:
                found.append(f"子信息项 {item.name} 不能再有子表行")
            if item.type == "G":
                found.append(f"子信息项 {item.name} 不能用通用型 G")
            if item.reference or item.share_type:
                found.append(f"子信息项 {item.name} 不写引用类别和共享类型：子表行只随上级行整体共享")
            if _GRADES.index(item.grade) > _GRADES.index(self.grade):
                found.append(f"个人信息等级低于子信息项 {item.name} 的“{GRADES[item.grade]}”")
        return found

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # An item without child rows or a file is written, and digested, as before there were any.
        written: dict[str, Any] = handler(self)
        for name in ("rows", "document"):
            if not getattr(self, name):
                written.pop(name, None)
        return written


def arrow_type(item: Item) -> pa.DataType:
    """The Arrow type of an item's values inside the hub.

    Times are instants: microseconds, UTC. Text is Unicode. N without scale is a whole number of
    up to 38 digits; Y has two digits after the point unless the item says otherwise.
    """
    if item.document:
        return pa.string()
    match item.type:
        case "C" | "M":
            return pa.string()
        case "N":
            return pa.decimal128(item.length or 38, item.scale or 0)
        case "Y":
            return pa.decimal128(item.length or 20, 2 if item.scale is None else item.scale)
        case "D":
            return pa.date32()
        case "T":
            return pa.timestamp("us", tz="UTC")
        case "L":
            return pa.bool_()
        case "G":
            return pa.binary()
        case "I":
            return pa.int64()
        case _:
            return pa.float64()


def arrow_schema(items: Iterable[Item]) -> pa.Schema:
    """The schema of checked rows: one field per item, in order.

    Field metadata carries ``type``, and ``length``, ``label``, the items of child rows and ``document`` where known, so
    that a sink can make or compare columns and tables without knowing the catalogue.
    """
    fields = []
    for item in items:
        about = {"type": item.type, "label": item.label}
        if item.length is not None:
            about["length"] = str(item.length)
        if item.rows:
            rows = [row.model_dump(mode="json", exclude_defaults=True) for row in item.rows]
            about["rows"] = json.dumps(rows, ensure_ascii=False)
        if item.document:
            about["document"] = "true"
        fields.append(pa.field(item.name, arrow_type(item), nullable=not item.mandatory, metadata=about))
    return pa.schema(fields)


def row_items(field: pa.Field) -> tuple[Item, ...]:
    """The items of the child rows that an item's field carries; empty: it has none."""
    written = (field.metadata or {}).get(ROWS)
    return tuple(Item(**each) for each in json.loads(written)) if written else ()


def documents(schema: pa.Schema) -> list[str]:
    """The fields of a schema whose values stand for files (附件)."""
    return [field.name for field in schema if DOCUMENT in (field.metadata or {})]
