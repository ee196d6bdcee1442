"""From a table found at an endpoint to the draft of a resource (库表反向编目).

What is guessed here is a proposal: a clerk reads it before she submits it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from catalog.errors import Rejected
from catalog.model import ITEM_NAME, Resource, shown, unseen
from catalog.reading import read_resource
from catalog.vocabulary import FORMATS
from schemas import GRADES, ITEM_TYPES, Item, Profile, RecordTable, record_classes

Check = Literal["identity_number", "credit_code", "project_code", "licence_identifier"]
Grade = Literal["none", "personal", "sensitive"]


class Column(NamedTuple):
    """A column as it was found; ``type`` is a letter of the item types."""

    name: str
    type: str
    length: int | None = None
    scale: int | None = None
    nullable: bool = True
    label: str = ""


@dataclass(frozen=True)
class Guess:
    """What a name and a label suggest about an item."""

    check: Check | None = None
    grade: Grade = "none"


class _Sign(NamedTuple):
    names: str
    labels: str
    guess: Guess


# In order: the first that fits decides.
_SIGNS: tuple[_Sign, ...] = (
    _Sign(
        r"(sfz|sfzh|sfzhm|gmsfhm|gmsfzhm|id_?card(_?(no|num|number))?|identity_?(no|number)|citizen_?id)",
        r"身份证|公民身份|居民身份",
        Guess("identity_number", "sensitive"),
    ),
    _Sign(
        r"(uscc|usci|tyshxydm|shxydm|(unified_?)?(social_?)?credit_?code|org_cc_code|certificate_sno)",
        r"统一社会信用代码|社会信用代码|统一信用代码",
        Guess("credit_code"),
    ),
    _Sign(r"(project_?code|xmdm|tzxmdm)", r"投资项目(统一)?代码|项目代码", Guess("project_code")),
    _Sign(
        r"(licence_?identifier|license_?identifier|certificate_source_id|dzzzbs)",
        r"电子证照(源)?标识",
        Guess("licence_identifier"),
    ),
    _Sign(
        r"(.*_)?(bank_?(card|account)(_?no)?|yhkh|yhzh|ssi_no|sbkh|cert_?no|zjhm|paper_code|page_code)",
        r"银行(卡|账|帐)|社保卡号|证件(号|编号)|病历|诊断|疾病|宗教|指纹|人脸|虹膜|行踪|婚姻",
        Guess(grade="sensitive"),
    ),
    _Sign(
        r"(.*_)?(user_name|xm|person_name|applyer_name|applicant_name|linkman(_name)?|legal_name|legal|contact_name)"
        r"|(.*_)?(mobile|phone|tel|sjh|sjhm|lxdh|mail|email|birthday|birth_?date|csrq|home_address|life_address|jtzz)"
        r"|(.*_)?(sex|gender|xb|nation|mz|cert_key)",
        r"姓名$|人姓名|法定代表人$|联系人$|手机|电话|邮箱|出生|户籍|户主|住址|家庭|通讯地址|性别|民族|曾用名|证件散列码",
        Guess(grade="personal"),
    ),
)
_CERTIFICATE = re.compile(r"(.*_)?(cert_?no|zjhm)", re.IGNORECASE)
_CERTIFICATE_KIND = re.compile(r"(.*_)?(cert_?type|zjlx)|.*证件(类型|种类).*", re.IGNORECASE)
_VERSION = re.compile(r"version|data_?ver(sion)?|.*(数据|记录)版本(号)?", re.IGNORECASE)


def guess(name: str, label: str = "") -> Guess:
    """What a name and a label suggest: a check-digit rule, a personal-data grade, or nothing.

    A label that the tables of the record classes use says what it says there.
    """
    alike = [item for table in _tables() for item in table.items if item.label == label.strip()]
    if alike:
        grade = max((item.grade for item in alike), key=list(GRADES).index)
        return Guess(next((item.check for item in alike if item.check), None), grade)
    for sign in _SIGNS:
        if re.fullmatch(sign.names, name, re.IGNORECASE) or re.search(sign.labels, label or name):
            return sign.guess
    return Guess()


def from_table(
    columns: Sequence[Column],
    *,
    code: str,
    name: str,
    provider_code: str,
    endpoint: str,
    object: str,
    key: Sequence[str] = (),
    product: str = "",
    profile: Profile | None = None,
) -> Resource:
    """The draft of a resource over a table as it was found.

    It is 不予共享 without a legal basis until the clerk decides, so that it cannot be registered by
    oversight.

    Args:
        columns: The table's columns in order.
        code: Code of the resource to be.
        name: Name of the resource to be.
        provider_code: Credit code of the providing department.
        endpoint: Name of the endpoint it was found at.
        object: Name of the table there.
        key: Columns of its primary key.
        product: Database product, for the metadata element 信息资源格式.
        profile: The front-end family the table belongs to: its state columns are no items.

    Raises:
        Rejected: the resource or the place is named in a way it cannot be.
    """
    states = _state_columns(profile)
    columns = [column for column in columns if _addressable(column) and column.name.casefold() not in states]
    names = item_names(columns)
    items = [
        _item(item, column, columns, in_key=column.name in key) for item, column in zip(names, columns, strict=True)
    ]
    counted = profile.version.casefold() if profile and profile.version else None
    version = next(
        (
            item.name
            for item, column in zip(items, columns, strict=True)
            if item.type in "IN" and (column.name.casefold() == counted or _is_version(column))
        ),
        None,
    )
    by_column = {column.name: item for item, column in reversed(list(zip(names, columns, strict=True)))}
    known = next((kind for kind in FORMATS["数据库"] if kind.casefold() == product.casefold()), None)
    draft = read_resource(
        {
            "code": code,
            "name": name,
            "provider_code": provider_code,
            "abstract": f"{name}，含{'、'.join(item.label for item in items)}"[:1000],
            "formats": [f"数据库/{known}" if known else f"自描述格式/{product or '库表'}"],
            "items": items,
            "share_type": 3,
            "update_cycle": "daily",
            "key": [by_column[column] for column in key if column in by_column],
            "version_item": version,
            "offer": {
                "endpoint": endpoint,
                "object": object,
                "columns": {item: column.name for item, column in zip(names, columns, strict=True)},
                "capture": profile.capture if profile else "snapshot",
                "profile": profile.name if profile else None,
            },
        }
    )
    if draft.problems:
        raise Rejected(f"不能由 {shown(object)} 编目", draft.problems)
    return draft.resource


def _addressable(column: Column) -> bool:
    return 0 < len(column.name) <= 255 and not unseen(column.name, lines=True)


def _state_columns(profile: Profile | None) -> frozenset[str]:
    """The columns of a family that say how far a row has got, and nothing of the matter itself."""
    if profile is None:
        return frozenset()
    named = [profile.read_at, profile.error_text, profile.written_at, profile.batch, *profile.constants]
    named += [mark.column for mark in (profile.state, profile.delete) if mark]
    return frozenset(name.casefold() for name in named if name)


def item_names(columns: Sequence[Column]) -> tuple[str, ...]:
    """An item name for each column: its own where it is one, else after its Chinese term, else by number."""
    terms = _terms()
    taken: set[str] = set()
    names: list[str] = []
    for number, column in enumerate(columns, start=1):
        stem = _stem(column, terms) or f"column_{number}"
        name, again = stem, 2
        while name in taken:
            name, again = f"{stem[: 62 - len(str(again))]}_{again}", again + 1
        taken.add(name)
        names.append(name)
    return tuple(names)


def _stem(column: Column, terms: Mapping[str, str]) -> str:
    plain = ""
    if column.name.isascii():
        plain = re.sub(r"[^A-Za-z0-9]+", "_", column.name).strip("_").lower()
        if plain[:1].isdigit():
            plain = f"c_{plain}"
    for stem in (plain, terms.get(column.name.strip(), ""), terms.get(column.label.strip(), "")):
        if re.fullmatch(ITEM_NAME, stem[:63]):
            return stem[:63].rstrip("_")
    return ""


def _tables() -> Iterator[RecordTable]:
    return (table for record_class in record_classes().values() for table in record_class.tables)


def _terms() -> dict[str, str]:
    """Chinese term to item name, after the tables of the record classes; the first one wins."""
    terms: dict[str, str] = {}
    for table in _tables():
        for item in table.items:
            terms.setdefault(item.label, item.name)
    return terms


def _is_version(column: Column) -> bool:
    return bool(_VERSION.fullmatch(column.name) or _VERSION.fullmatch(column.label))


def _item(name: str, column: Column, columns: Sequence[Column], *, in_key: bool) -> Item:
    label = "".join(letter for letter in " ".join((column.label or column.name).split()) if not unseen(letter))
    guessed = guess(column.name, column.label)
    kinds = any(
        _CERTIFICATE_KIND.fullmatch(other.name) or _CERTIFICATE_KIND.fullmatch(other.label) for other in columns
    )
    if _CERTIFICATE.fullmatch(column.name) and guessed.check is None and not kinds:
        # Alone, a certificate number is the identity number; beside a kind it may be any other.
        guessed = Guess("identity_number", "sensitive")
    letter = column.type if column.type in ITEM_TYPES else "M"
    length = column.length if letter in "CNY" and column.length else None
    if letter in "NY" and length is not None and length > 38:
        length = None
    if letter != "C":
        guessed = Guess(grade=guessed.grade)
    holds = column.length is None or column.length >= 18
    return Item.model_validate(
        {
            "name": name,
            "label": label[:128] or name,
            "type": letter,
            "length": length,
            "scale": max(column.scale, 0) if letter in "NY" and column.scale is not None else None,
            "mandatory": in_key or not column.nullable,
            "check": guessed.check if holds else None,
            "grade": guessed.grade,
        }
    )
