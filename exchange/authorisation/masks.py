"""Masks (脱敏) as data: what of an item's value a recipient sees.

A grant holds one mask per masked item, written ``{"mask": name, …}``. ``clear`` (原值) stands for an
item of personal data that is granted as it is, on purpose and with its justification: an item
without any entry is one that never needed a mask.

Only ``hmac`` tells values apart without showing them, under a key of the grant's own: rows merge by
it, and two grants cannot be joined. No mask keeps an order, so the version item is never masked.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from exchange.authorisation import masking
from exchange.authorisation.reading import Text, near, read
from schemas import ITEM_TYPES, Item

TEXT = frozenset("CM")

DIGEST_LENGTH = 64
"""Characters of a keyed digest in hex: SHA-256 and SM3 both have 256 bits."""


class _Mask(BaseModel):
    """One mask: what it is called, where it may stand, and what it does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: ClassVar[str]
    types: ClassVar[frozenset[str]]
    injective: ClassVar[bool] = False


class Clear(_Mask):
    """The value as it is (原值), granted on purpose."""

    mask: Literal["clear"] = "clear"
    justification: Text = Field(min_length=1, max_length=1000)
    """Why the recipient's duty needs the value itself."""

    label = "原值"
    types = frozenset(ITEM_TYPES)
    injective = True


class Name(_Mask):
    """A person's name: the first character, then stars (张*)."""

    mask: Literal["name"] = "name"

    label = "姓名只留首字"
    types = TEXT


class IdentityNumber(_Mask):
    """An identity number: first six and last four characters; any other document number is hidden whole."""

    mask: Literal["identity_number"] = "identity_number"

    label = "证件号码留前六后四"
    types = TEXT


class Mobile(_Mask):
    """A telephone number: first three and last four digits (138****0000)."""

    mask: Literal["mobile"] = "mobile"

    label = "电话号码留前三后四"
    types = TEXT


class BankCard(_Mask):
    """A bank card or account number: the last four digits."""

    mask: Literal["bank_card"] = "bank_card"

    label = "账号只留后四位"
    types = TEXT


class Address(_Mask):
    """An address down to the district (区县); one whose province or city is not recognised is hidden whole."""

    mask: Literal["address"] = "address"

    label = "地址只到区县"
    types = TEXT


class CreditCode(_Mask):
    """A unified social credit code: open, but a sole trader's (个体工商户, 92…) and a person's number are hidden."""

    mask: Literal["credit_code"] = "credit_code"

    label = "信用代码遮盖个体工商户和自然人"
    types = TEXT


class Truncate(_Mask):
    """The first characters of a text."""

    mask: Literal["truncate"] = "truncate"
    length: int = Field(ge=1, le=4000, strict=True)

    label = "只留开头"
    types = TEXT


class Period(_Mask):
    """A date or time down to its year or month (Beijing time): the first day of it."""

    mask: Literal["period"] = "period"
    unit: Literal["year", "month"]

    label = "日期只到年或月"
    types = frozenset("DT")


class Hmac(_Mask):
    """A keyed digest under the grant's key, in hex: the same value gives the same digest, and no value comes back."""

    mask: Literal["hmac"] = "hmac"
    digest: Literal["sha256", "sm3"] = "sha256"

    label = "密钥散列"
    types = frozenset("CMNYDTLGI")
    injective = True


class Null(_Mask):
    """Nothing at all (置空)."""

    mask: Literal["null"] = "null"

    label = "置空"
    types = frozenset(ITEM_TYPES)


Mask: TypeAlias = Annotated[
    Clear | Name | IdentityNumber | Mobile | BankCard | Address | CreditCode | Truncate | Period | Hmac | Null,
    Field(discriminator="mask"),
]

_adapter: TypeAdapter[Any] = TypeAdapter(Mask)

# What personal items are called, to the mask they get when nobody says otherwise; the first that fits.
_PROPOSED: tuple[tuple[re.Pattern[str], Mask], ...] = tuple(
    (re.compile(words, re.IGNORECASE), mask)
    for words, mask in (
        ("日期|生日|birth", Truncate(length=4)),
        ("手机|电话|联系方式|mobile|phone", Mobile()),
        ("证件号|证件编号|身份证|身份号|证照号|cert_?no|paper_code", IdentityNumber()),
        ("地址|住址|详址|address", Address()),
        ("卡号|账号|帐号|account", BankCard()),
        (
            "姓名|曾用名|(申请人|用户)名称|(联系|代表|负责|经办|代理|申请|办理)人$|人员$|户主$|持证主体$|法人$",
            Name(),
        ),
    )
)


def parse(data: Mapping[str, Any], where: str = "脱敏规则") -> Mask:
    """Read a mask from plain values.

    Raises:
        Invalid: With everything wrong.
    """
    found: Mask = read(_adapter, data, where)
    return found


def dump(mask: Mask) -> dict[str, Any]:
    """The mask as plain values, in the form :func:`parse` reads."""
    found: dict[str, Any] = mask.model_dump(mode="json")
    return found


def apply(mask: Mask, array: pa.Array, key: bytes) -> pa.Array:
    """The values of a column as the recipient sees them; a missing value stays missing.

    Args:
        mask: The mask.
        array: Checked values of an item.
        key: Key of the grant, for keyed digests.
    """
    match mask:
        case Clear():
            return array
        case Null():
            return pa.nulls(len(array), array.type)
        case Hmac(digest=digest):
            return masking.keyed(array, key, digest)
        case Name():
            return masking.ends(array, first=1, last=0, shortest=2)
        case IdentityNumber():
            return masking.ends(array, first=6, last=4, shortest=15)
        case Mobile():
            return masking.ends(array, first=3, last=4, shortest=11)
        case BankCard():
            return masking.ends(array, first=0, last=4, shortest=12)
        case Address():
            return masking.district(array)
        case CreditCode():
            return masking.credit_code(array)
        case Truncate(length=length):
            return masking.beginning(array, length)
        case _:
            return masking.period(array, mask.unit)


def masked_field(mask: Mask, field: pa.Field) -> pa.Field:
    """The field of a column after its mask: type, length and whether it may be missing."""
    about = dict(field.metadata or {})
    match mask:
        case Hmac():
            about |= {b"type": b"C", b"length": str(DIGEST_LENGTH).encode()}
            return pa.field(field.name, pa.string(), nullable=field.nullable, metadata=about)
        case Truncate(length=length):
            about[b"length"] = str(min(length, int(about.get(b"length", length)))).encode()
            return field.with_metadata(about)
        case Null():
            return field.with_nullable(nullable=True)
        case _:
            return field


def describe(mask: Mask) -> str:
    """The mask in Chinese, as people read it."""
    match mask:
        case Truncate(length=length):
            return f"只留前 {length} 个字符"
        case Period(unit=unit):
            return "日期只到年" if unit == "year" else "日期只到月"
        case _:
            return mask.label


def narrower(new: Mask | None, old: Mask | None) -> bool:
    """Whether a mask shows no more than another one, for every value; None is no mask.

    Two masks that show different parts cannot be compared: neither is narrower.
    """
    if old is None or isinstance(old, Clear) or new == old:
        return True
    match new, old:
        case (Null(), _):
            return True
        case (Truncate(length=shorter), Truncate(length=longer)):
            return shorter <= longer
        case (Period(unit=unit), Period()):
            return unit == "year"
        case _:
            return False


def proposed(item: Item, *, key: bool = False, digest: Literal["sha256", "sm3"] = "sha256") -> Mask:
    """The mask a personal item gets when nobody says otherwise: what its check or its name suggests.

    What is not recognised is handed over as nothing at all; dates keep their year.

    Args:
        item: The item.
        key: It belongs to the business key, or refers to one: its values must stay apart.
        digest: Digest of keyed masks.
    """
    if key:
        return Hmac(digest=digest)
    if item.rows:
        return Null()  # no part of them can be told apart
    if item.type in TEXT:
        if item.check == "identity_number":
            return IdentityNumber()
        if item.check == "credit_code":
            return CreditCode()
        for word in (item.label, item.name):
            for pattern, mask in _PROPOSED:
                if pattern.search(word):
                    return mask
    return Period(unit="year") if item.type in "DT" else Null()


def problems(
    masks: Mapping[str, Mask],
    items: Iterable[Item],
    key: Collection[str],
    version: str | None = None,
    references: Collection[str] = (),
) -> list[str]:
    """Everything about masks that does not fit the items they are for; empty: they fit.

    Args:
        masks: Item to mask.
        items: The items handed over.
        key: Items of the business key.
        version: Item whose higher value wins.
        references: Further items that refer to rows elsewhere.
    """
    known = {item.name: item for item in items}
    found = [f"没有要脱敏的信息项 {name}{near(name, known)}" for name in masks if name not in known]
    for name, item in known.items():
        where = f"{item.label}（{name}）"
        mask = masks.get(name)
        if mask is None:
            if item.grade != "none":
                found.append(f"{where}：是个人信息，须脱敏，或说明理由后以原值提供")
            continue
        if item.rows and not isinstance(mask, Clear):
            found.append(f"{where}：有子表行，只能整项以原值提供；不需要的请不要申请")
        if item.document and not isinstance(mask, Clear | Null):
            found.append(f"{where}：是附件，只能以原件提供或置空；不需要的请不要申请")
        elif item.type not in mask.types:
            found.append(f"{where}：{ITEM_TYPES[item.type]}不能用脱敏规则 {mask.mask}")
        if name == version and not isinstance(mask, Clear):
            found.append(f"{where}：是版本项，脱敏后无法比较先后")
        elif name in key and not mask.injective:
            found.append(f"{where}：是业务主键，{mask.mask} 会使不同的行混为一行，只能用 hmac")
        elif (name in references or item.reference is not None) and not mask.injective:
            found.append(f"{where}：是引用项，{mask.mask} 会使引用失去对应，只能用 hmac")
    return found
