"""Controlled vocabularies of the catalogue guide (政务信息资源目录编制指南, 2017), in one place.

What is stored is the word on the left; what people read and may also write is its Chinese term.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Literal, TypeVar

from pydantic_core import PydanticCustomError

from schemas import code_list

ShareType = Literal[1, 2, 3]
ShareWay = Literal["database", "webservice", "file", "medium"]
UpdateCycle = Literal["realtime", "daily", "weekly", "ten_days", "monthly", "quarterly", "yearly"]
DemandState = Literal["open", "met", "declined"]

SHARE_TYPES: dict[ShareType, str] = {1: "无条件共享", 2: "有条件共享", 3: "不予共享"}

SHARE_WAYS: dict[ShareWay, str] = {
    "database": "数据库",
    "webservice": "Web Service",
    "file": "文件",
    "medium": "邮件、拷盘、介质交换",
}
"""``medium`` is no way of the platform: by exception only, with an explanation."""

UPDATE_CYCLES: dict[UpdateCycle, str] = {
    "realtime": "实时",
    "daily": "每日",
    "weekly": "每周",
    "ten_days": "每旬",
    "monthly": "每月",
    "quarterly": "每季度",
    "yearly": "每年",
}
"""From the fastest to the slowest."""

DEMAND_STATES: dict[DemandState, str] = {"open": "待响应", "met": "已满足", "declined": "不予提供"}

FORMATS: dict[str, tuple[str, ...]] = {
    "电子文件": ("OFD", "WPS", "XML", "TXT", "DOC", "DOCX", "HTML", "PDF", "PPT"),
    "电子表格": ("ET", "XLS", "XLSX", "CSV"),
    "数据库": (
        "Dm", "KingbaseES", "GaussDB", "OceanBase", "Access", "DBF", "dBase", "Sybase", "Oracle", "SQL Server",
        "DB2", "MySQL", "MariaDB", "PostgreSQL", "SQLite",
    ),
    "图形图像": ("JPG", "GIF", "BMP", "PNG", "TIF"),
    "流媒体": ("SWF", "RM", "MPG", "MP4"),
    "自描述格式": (),
    "服务接口": ("Web Service", "REST"),
}  # fmt: skip
"""Category to types; one without types is described in free words."""

STRUCTURED: frozenset[str] = frozenset({"电子表格", "数据库", "服务接口"})
"""Format categories whose content is items, which must then be listed."""

CLASS_NAMES: dict[str, str] = {
    "1": "基础信息资源",
    "101": "国家人口基础信息",
    "102": "法人单位基础信息",
    "103": "自然资源和空间地理基础信息",
    "104": "社会信用基础信息",
    "105": "电子证照基础信息",
    "2": "主题信息资源",
    "201": "公共服务",
    "202": "健康保障",
    "203": "社会保障",
    "204": "食品药品安全",
    "205": "安全生产",
    "206": "价格监管",
    "207": "能源安全",
    "208": "信用体系",
    "209": "城乡建设",
    "210": "社区治理",
    "211": "生态环保",
    "212": "应急维稳",
    "3": "部门信息资源",
    "301": "党中央",
    "302": "全国人大",
    "303": "国务院",
    "304": "全国政协",
    "305": "法院",
    "306": "检察院",
    "307": "省及以下",
    "308": "计划单列市及以下",
}
"""Names of the two upper levels; the lower ones are each catalogue's own."""

_SPOKEN: dict[str, dict[str, str]] = {
    "share_type": {"无条件": "无条件共享", "有条件": "有条件共享", "不予": "不予共享"},
    "share_ways": {"库表": "数据库", "文件下载": "文件", "接口": "Web Service", "服务接口": "Web Service"},
    "update_cycle": {"每天": "每日", "每季": "每季度"},
}
_CODES: dict[str, str] = {"share_type": "share_type", "share_ways": "share_way", "update_cycle": "update_cycle"}
"""Code lists whose codes products write instead of the term."""

T = TypeVar("T", bound=Hashable)


def choose(field: str, table: Mapping[T, str], value: object) -> T:
    """The stored word for what somebody wrote: itself, its Chinese term, or its code in products.

    Raises:
        PydanticCustomError: it is none of them; the remedy lists what is.
    """
    if isinstance(value, Hashable) and value in table and not isinstance(value, bool):
        return next(word for word in table if word == value)
    if isinstance(value, str):
        text = value.strip()
        if field in _CODES:
            text = code_list(_CODES[field]).codes.get(text, text)
        text = _SPOKEN.get(field, {}).get(text, text).casefold()
        for word, label in table.items():
            if text in (label.casefold(), str(word)):
                return word
    allowed = "、".join(f"{word}（{label}）" for word, label in table.items())
    raise PydanticCustomError("vocabulary", "不在取值范围内", {"remedy": f"可填：{allowed}"})


def class_path(class_code: str) -> str:
    """A class in words, as far as its levels have names: ``基础信息资源 › 国家人口基础信息 › 101001001``."""
    named = [CLASS_NAMES[level] for level in (class_code[:1], class_code[:3]) if level in CLASS_NAMES]
    parts = list(dict.fromkeys(named))
    return " › ".join([*parts, class_code] if len(class_code) > 3 or not parts else parts)
