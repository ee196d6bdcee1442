"""What is registered: departments, endpoints and resources with their metadata elements.

Names of fields are English, their titles are the terms of the catalogue guide (§ 元数据). The models
hold the shape of each field; what fields owe to each other, to the vocabularies and to what is
already registered is checked in :mod:`catalog.validation`, all at once.
"""

from __future__ import annotations

import unicodedata
from datetime import date
from functools import cache, partial
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints
from pydantic_core import PydanticCustomError
from stdnum.cn import uscc

from catalog import codes, vocabulary
from catalog.vocabulary import ShareType, ShareWay, UpdateCycle
from schemas import Item, Profile, RecordTable

ITEM_NAME = r"[A-Za-z][A-Za-z0-9_]{0,62}"
"""A leading underscore is left to the columns the exchange itself adds."""
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})


def unseen(text: str, *, lines: bool = False) -> bool:
    """Whether a text has characters nobody can see: controls, half characters, direction marks."""
    return any(
        (unicodedata.category(letter) in _UNSEEN and not (lines and letter in "\n\t"))
        or "\u200b" <= letter <= "\u200f"
        or "\u202a" <= letter <= "\u202e"
        or "\u2060" <= letter <= "\u2069"
        or letter == "\ufeff"
        for letter in text
    )


def shown(text: str) -> str:
    """A text as a message may show it: cut short, with a dot for what nobody can see."""
    return "".join("·" if unseen(letter) else letter for letter in text[:64])


def _seen(text: str, *, lines: bool) -> str:
    if unseen(text, lines=lines):
        raise PydanticCustomError("unseen", "含有看不见的字符", {"remedy": "删去后重新输入，不要从网页直接粘贴"})
    return text


def _clean(value: JsonValue) -> JsonValue:
    match value:
        case str():
            return _seen(value, lines=True)
        case list():
            return [_clean(part) for part in value]
        case dict():
            return {_seen(name, lines=False): _clean(part) for name, part in value.items()}
        case _:
            return value


def _clean_options(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {_seen(name, lines=False): _clean(part) for name, part in options.items()}


def _credit_code(text: str) -> str:
    if not uscc.is_valid(text) or uscc.compact(text) != text:
        raise PydanticCustomError(
            "credit_code",
            "不是有效的统一社会信用代码",
            {"remedy": "18 位数字和大写字母（不含 I、O、S、V、Z），末位为校验码；请对照登记证书"},
        )
    return text


def _division(text: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) in (6, 12) and text[0] != "0"):
        raise PydanticCustomError("division", "不是行政区划代码", {"remedy": "6 位（县级以上）或 12 位（到村）数字"})
    return text


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


def _zone(text: str) -> str:
    if text not in _zones():
        raise PydanticCustomError("zone", "不是时区名称", {"remedy": "例如 Asia/Shanghai"})
    return text


def _class_code(text: str) -> str:
    if not codes.is_class(text):
        raise PydanticCustomError(
            "class_code", "不是信息资源分类代码", {"remedy": "类 1 位、项 2 位、目 3 位、细目若干位，例如 101001001"}
        )
    return text


def _format(text: str) -> str:
    category, slash, kind = (part.strip() for part in text.partition("/"))
    types = vocabulary.FORMATS.get(category)
    if types is None:
        raise PydanticCustomError(
            "format", "格式分类不在取值范围内", {"remedy": f"写“分类/类型”，分类可填：{'、'.join(vocabulary.FORMATS)}"}
        )
    if not slash or not kind:
        raise PydanticCustomError("format", "缺少格式类型", {"remedy": f"写“{category}/类型”"})
    if not types:
        return f"{category}/{kind}"
    known = next((name for name in types if name.casefold() == kind.casefold()), None)
    if known is None:
        raise PydanticCustomError(
            "format",
            "格式类型不在取值范围内",
            {"remedy": f"{category}可填：{'、'.join(types)}；其他的写“自描述格式/…”"},
        )
    return f"{category}/{known}"


def _yes(value: object) -> object:
    return {"是": True, "否": False}.get(value.strip(), value) if isinstance(value, str) else value


def _line(length: int, least: int = 1) -> Any:
    return StringConstraints(strip_whitespace=True, min_length=least, max_length=length)


_OneLine = AfterValidator(partial(_seen, lines=False))
_Lines = AfterValidator(partial(_seen, lines=True))
Name = Annotated[str, _line(128), _OneLine]
Short = Annotated[str, _line(64), _OneLine]
OptionalShort = Annotated[str, _line(128, 0), _OneLine]
Words = Annotated[str, _line(1000), _Lines]
OptionalWords = Annotated[str, _line(1000, 0), _Lines]
ForeignName = Annotated[str, StringConstraints(min_length=1, max_length=255), _Lines]
"""A name as it stands elsewhere, with the blanks and line breaks that real headers have."""
CreditCode = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_credit_code)]
Division = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_division)]
Zone = Annotated[str, AfterValidator(_zone)]
ClassCode = Annotated[str, _line(codes.LENGTH), AfterValidator(_class_code)]
Format = Annotated[str, _line(64), _OneLine, AfterValidator(_format)]
YesNo = Annotated[bool, BeforeValidator(_yes)]
Options = Annotated[dict[str, JsonValue], AfterValidator(_clean_options)]


class _Registered(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Contact(_Registered):
    """A person to ask (联系人); an office's number rather than a person's own."""

    name: Short = Field(title="姓名")
    phone: OptionalShort = Field("", title="电话")
    email: OptionalShort = Field("", title="电子邮箱")
    duty: OptionalShort = Field("", title="职责")


class Department(_Registered):
    """A department (部门): a body that provides or uses data by statutory duty."""

    code: CreditCode = Field(title="统一社会信用代码")
    name: Name = Field(title="部门名称")
    short_name: Annotated[str, _line(64, 0), _OneLine] = Field("", title="部门简称")
    division: Division = Field(title="行政区划代码")
    contacts: tuple[Contact, ...] = Field((), title="联系人")


class EndpointSpec(_Registered):
    """A place where a department's data can be reached (端点), as registered.

    ``options`` belong to the kind and are opaque here; a secret in them is a reference, never itself.
    """

    name: Annotated[Short, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = Field(title="端点名称")
    department: CreditCode = Field(title="所属部门")
    kind: Annotated[str, _line(32), _OneLine] = Field(title="类型")
    zone: Zone = Field("Asia/Shanghai", title="无时区时间所在时区")
    options: Options = Field(default_factory=dict, title="选项")


class Offer(_Registered):
    """How a resource is offered at an endpoint of its provider (资源挂接).

    Attributes:
        endpoint: Name of the endpoint.
        object: Table, operation or file name pattern there.
        columns: Item name to the name used there; :func:`completed` adds the items left out.
        capture: How changes are read.
        profile: Family of front-end tables it belongs to, if any.
        options: What only this kind of endpoint understands.
        served: Where grants on it are served from: the base library, which collects it, or the provider's own
            table, read anew for each grant and collected nowhere.
    """

    endpoint: Short = Field(title="端点")
    object: Annotated[str, _line(255), _OneLine] = Field(title="表、操作或文件")
    columns: dict[Short, ForeignName] = Field(default_factory=dict, title="信息项对应字段")
    capture: Literal["snapshot", "outbox", "batches", "journal", "watermark", "diff", "pushed"] = Field(
        "snapshot", title="变化获取方式"
    )
    profile: Short | None = Field(None, title="前置库表族")
    options: Options = Field(default_factory=dict, title="选项")
    served: Literal["library", "provider"] = Field("library", title="共享来源")


class Resource(_Registered):
    """A resource (政务信息资源): one table of data with the 15 metadata elements of the guide."""

    classes: tuple[ClassCode, ...] = Field((), title="信息资源分类")
    name: Name = Field(title="信息资源名称")
    code: Annotated[str, _line(codes.LENGTH), _OneLine] = Field(title="信息资源代码")
    provider: OptionalShort = Field("", title="信息资源提供方")
    provider_unit: OptionalShort = Field("", title="内部部门")
    provider_code: CreditCode = Field(title="信息资源提供方代码")
    abstract: Words = Field(title="信息资源摘要")
    formats: tuple[Format, ...] = Field(title="信息资源格式")
    items: tuple[Item, ...] = Field((), title="信息项")
    share_type: Annotated[
        ShareType, BeforeValidator(partial(vocabulary.choose, "share_type", vocabulary.SHARE_TYPES))
    ] = Field(title="共享类型")
    share_condition: OptionalWords = Field("", title="共享条件")
    legal_basis: OptionalWords = Field("", title="不予共享依据")
    share_ways: tuple[
        Annotated[ShareWay, BeforeValidator(partial(vocabulary.choose, "share_ways", vocabulary.SHARE_WAYS))], ...
    ] = Field((), title="共享方式")
    share_ways_note: OptionalWords = Field("", title="共享方式说明")
    open_to_public: YesNo = Field(default=False, title="是否向社会开放")
    open_condition: OptionalWords = Field("", title="开放条件")
    update_cycle: Annotated[
        UpdateCycle, BeforeValidator(partial(vocabulary.choose, "update_cycle", vocabulary.UPDATE_CYCLES))
    ] = Field(title="更新周期")
    published_on: date | None = Field(None, title="发布日期")
    related: tuple[Annotated[str, _line(codes.LENGTH), _OneLine], ...] = Field((), title="关联资源代码")
    record_class: Short | None = Field(None, title="数据类别")
    table: Short | None = Field(None, title="数据表")
    key: tuple[Short, ...] = Field((), title="业务主键")
    version_item: Short | None = Field(None, title="版本项")
    offer: Offer | None = Field(None, title="资源挂接")

    def item(self, name: str) -> Item | None:
        """The item of that name."""
        return next((item for item in self.items if item.name == name), None)

    def shared_as(self, item: Item) -> ShareType:
        """The sharing type of an item: its own, else that of the resource."""
        return item.share_type or self.share_type


class Demand(_Registered):
    """Data a department needs (共享需求), an entry of the list of demand (需求清单)."""

    department: CreditCode = Field(title="需求部门")
    title: Name = Field(title="所需数据")
    items: tuple[Name, ...] = Field((), title="所需信息项")
    basis: Words = Field(title="使用依据")
    scene: Words = Field(title="使用场景")
    provider_code: CreditCode | None = Field(None, title="建议提供部门")
    resource: Annotated[str, _line(codes.LENGTH), _OneLine] | None = Field(None, title="已知资源代码")


def completed(resource: Resource, table: RecordTable | None = None, profile: Profile | None = None) -> Resource:
    """A resource with what the clerk may leave out filled in.

    Items, key and version item come from the table of its class, but for files that no column is named for; the
    class from the code; a column not named is named like its item, in the case its front-end family writes names in;
    the capture is the family's.

    Args:
        resource: The resource as written.
        table: The table of its record class that it names, if it names one.
        profile: The front-end family its offer names, if it names one.
    """
    change: dict[str, Any] = {}
    items = resource.items
    if table is not None and not items:
        # Few departments have files: those who have name the column in which they stand.
        bound = resource.offer.columns if resource.offer is not None else {}
        items = change["items"] = tuple(item for item in table.items if not item.document or item.name in bound)
    names = {item.name for item in items}
    if table is not None and resource.version_item is not None:
        # An item taken over from the class as it is must be there in every row to serve as version.
        items = change["items"] = tuple(
            item.model_copy(update={"mandatory": True})
            if item.name == resource.version_item and item in table.items
            else item
            for item in items
        )
    if table is not None and not resource.key and names.issuperset(table.key):
        change["key"] = table.key
    if table is not None and resource.version_item is None and table.version in names:
        change["version_item"] = table.version
    if not resource.classes:
        front = resource.code.partition("/")[0]
        change["classes"] = (front,) if codes.is_class(front) else ()
    if resource.offer is not None:
        change["offer"] = _completed_offer(resource.offer, items, profile)
    return resource.model_copy(update=change)


def _completed_offer(offer: Offer, items: tuple[Item, ...], profile: Profile | None) -> Offer:
    def named(item: Item) -> str:
        if profile is None:
            return item.name
        return item.name.upper() if profile.identifier_case == "upper" else item.name.lower()

    columns = {item.name: offer.columns.get(item.name) or named(item) for item in items} | offer.columns
    change: dict[str, Any] = {"columns": columns}
    if profile is not None and "capture" not in offer.model_fields_set:
        change["capture"] = profile.capture
    return offer.model_copy(update=change)
