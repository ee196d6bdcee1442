"""Everything that is wrong with a registration, at once, in the clerk's terms and with the remedy.

Each check names the fields it needs; it is left out where one of them could not be read, so that
nobody is told of a fault that only follows from another.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from catalog import codes, found, vocabulary
from catalog.errors import Problem
from catalog.model import ITEM_NAME, Department, EndpointSpec, Resource, shown, unseen
from catalog.reading import ITEM_TITLES, Draft, class_table, item_path, near, title
from schemas import GRADES, ITEM_TYPES, Item, SchemaError, code_lists, profiles, record_class, record_classes
from schemas.child_rows import problems_of_children

UNCONDITIONAL = "无条件"
USE_REQUIREMENT = "使用要求"
_NOTHING = frozenset({"", "无", "暂无", "没有", "空", "-", "—", "/", "none", "null", "n/a"})
_LAW = re.compile(r"《[^》]+》|国务院|法|条例|决定")
_OWN_CONDITION = re.compile(
    r"(须|需|应|经|报|征得|取得).{0,20}(同意|批准|审批|审核|许可|授权)|(签订|签署).{0,10}(协议|合同)|[付收缴]费"
)
_KEY_TYPES = frozenset("CNIDT")
_VERSION_TYPES = frozenset("INTD")
_CHECK_LENGTH = {"identity_number": 18, "credit_code": 18, "project_code": 20}


@dataclass(frozen=True)
class Surroundings:
    """What is already registered around a resource.

    Attributes:
        provider: The department its provider code names, None if there is none.
        endpoint: The endpoint its offer names, None if there is none.
        endpoints: Names of the provider's endpoints.
        related: Those of its related codes that exist.
        earlier: Provider code under which its code is registered already, None if it is new.
        sequence_of: Another code with the same class and sequence number, if there is one.
    """

    provider: Department | None
    endpoint: EndpointSpec | None
    endpoints: tuple[str, ...] = ()
    related: frozenset[str] = frozenset()
    earlier: str | None = None
    sequence_of: str | None = None


@dataclass(frozen=True)
class _Case:
    draft: Draft
    around: Surroundings | None
    pattern: str

    @property
    def resource(self) -> Resource:
        return self.draft.resource

    def at(self, field: str) -> str:
        return f"{self.draft.here} › {title(Resource, field)}"

    def item(self, number: int, item: Item, field: str, row: Item | None = None) -> str:
        within = f" › {ITEM_TITLES['rows']}（{shown(row.label)}）" if row is not None else ""
        return f"{item_path(self.draft.here, number, item.label)}{within} › {ITEM_TITLES[field]}"


Check = Callable[[_Case], Iterator[Problem]]
_CHECKS: list[tuple[frozenset[str], Check]] = []


def problems(draft: Draft, around: Surroundings | None = None, *, pattern: str = codes.PATTERN) -> tuple[Problem, ...]:
    """Everything wrong with a draft: what could not be read, then what does not hold.

    Args:
        draft: The registration as read.
        around: What is already registered; without it, nothing is compared with the directory.
        pattern: The local grammar of resource codes.
    """
    case = _Case(draft, around, pattern)
    held = (problem for needs, check in _CHECKS if not needs & draft.unread for problem in check(case))
    return (*draft.problems, *held)


def errors(found_problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Those problems that stop a registration."""
    return tuple(problem for problem in found_problems if problem.severity == "error")


def _check(*needs: str) -> Callable[[Check], Check]:
    def enter(check: Check) -> Check:
        _CHECKS.append((frozenset(needs), check))
        return check

    return enter


def _empty(text: str) -> bool:
    return text.strip(" 。.").casefold() in _NOTHING


@_check("code")
def _grammar(case: _Case) -> Iterator[Problem]:
    code = case.resource.code
    if codes.parse(code, case.pattern) is None:
        example = "例如 101001001/0001：类 1 位、项 2 位、目 3 位、细目若干位，斜杠，顺序号（至多 18 位）"
        yield Problem(
            case.at("code"),
            "不合代码规则",
            example if case.pattern == codes.PATTERN else f"本地规则为 {case.pattern}",
        )
    elif case.around is not None and case.around.sequence_of is not None:
        yield Problem(case.at("code"), f"顺序号与 {case.around.sequence_of} 相同", "顺序号不重复使用，请取下一个")


@_check("code", "classes")
def _classes(case: _Case) -> Iterator[Problem]:
    resource, code = case.resource, codes.parse(case.resource.code, case.pattern)
    if not resource.classes and code is not None:
        yield Problem(case.at("classes"), "缺少", "写出所属的类、项、目、细目代码，可有多个")
    for class_code, times in Counter(resource.classes).items():
        if times > 1:
            yield Problem(case.at("classes"), f"{class_code} 重复", "只写一次")
    if resource.classes and code is not None and codes.is_class(code.class_code):
        own = code.class_code
        if own not in resource.classes:
            yield Problem(case.at("classes"), "不含代码本身的分类", f"加上 {own}")


@_check("provider_code", "provider")
def _provider(case: _Case) -> Iterator[Problem]:
    if case.around is None:
        return
    resource, provider = case.resource, case.around.provider
    if provider is None:
        yield Problem(
            case.at("provider_code"), f"没有登记代码为 {resource.provider_code} 的部门", "先登记部门，或核对代码"
        )
    elif resource.provider and resource.provider not in (provider.name, provider.short_name):
        yield Problem(
            case.at("provider"), f"与代码 {provider.code} 登记的部门名称不一致", f"写“{provider.name}”，或核对代码"
        )
    if case.around.earlier not in (None, resource.provider_code):
        yield Problem(
            case.at("provider_code"),
            f"这个资源代码属于另一提供方（{case.around.earlier}）",
            "提供方不随版本更改；职责划转的，原资源下架后用新代码登记",
        )


@_check("share_type", "share_condition", "legal_basis")
def _conditions(case: _Case) -> Iterator[Problem]:
    resource, condition = case.resource, case.resource.share_condition
    if resource.share_type == 1:
        own = condition.removeprefix(USE_REQUIREMENT).lstrip("：: ")
        if not _empty(condition) and condition != UNCONDITIONAL and own == condition:
            yield Problem(
                case.at("share_condition"),
                "无条件共享不得自行附加条件",
                f"写“{UNCONDITIONAL}”，或以“{USE_REQUIREMENT}：”开头写明使用要求；确有条件的改为有条件共享",
            )
        elif _OWN_CONDITION.search(own):
            yield Problem(
                case.at("share_condition"),
                "使用要求读来像是附加条件",
                "无条件共享不再审批、签约或收费；确有条件的改为有条件共享",
                "warning",
            )
    if resource.share_type == 2 and (_empty(condition) or condition == UNCONDITIONAL):
        yield Problem(case.at("share_condition"), "有条件共享缺少条件", "写明具体条件和共享范围")


@_check("share_type", "legal_basis", "items")
def _refusal(case: _Case) -> Iterator[Problem]:
    resource = case.resource
    kept = [item.label for item in resource.items if resource.shared_as(item) == 3]
    if resource.share_type != 3 and not kept:
        return
    what = "不予共享" if resource.share_type == 3 else f"信息项“{'”“'.join(kept)}”不予共享，"
    if _empty(resource.legal_basis):
        yield Problem(
            case.at("legal_basis"), f"{what}缺少依据", "写明明确规定不得共享的法律、行政法规或国务院决定及条款"
        )
    elif not _LAW.search(resource.legal_basis):
        yield Problem(
            case.at("legal_basis"),
            "不是法律、行政法规或国务院决定",
            "例如《……法》第……条；没有这样的依据不得列为不予共享",
        )
    if resource.share_type != 3 and len(kept) == len(resource.items):
        yield Problem(case.at("share_type"), "所有信息项都不予共享", "改为不予共享，或放开信息项")


@_check("share_type", "items")
def _wider_items(case: _Case) -> Iterator[Problem]:
    if case.resource.share_type != 3:
        return
    for number, item in case.draft.numbered:
        if item.share_type in (1, 2):
            yield Problem(
                case.item(number, item, "share_type"),
                "资源不予共享而信息项可以共享",
                "资源改为有条件共享，或去掉信息项的共享类型",
            )


@_check("classes", "share_type")
def _base_resources(case: _Case) -> Iterator[Problem]:
    if case.resource.share_type == 3 and any(code.startswith("1") for code in case.resource.classes):
        yield Problem(case.at("share_type"), "基础信息资源原则上无条件共享", "请核对共享类型", "warning")


@_check("share_type", "share_ways", "share_ways_note")
def _ways(case: _Case) -> Iterator[Problem]:
    resource = case.resource
    if resource.share_type != 3 and not resource.share_ways:
        yield Problem(case.at("share_ways"), "缺少", f"可填：{'、'.join(vocabulary.SHARE_WAYS.values())}")
    if len(set(resource.share_ways)) < len(resource.share_ways):
        yield Problem(case.at("share_ways"), "重复", "每种只写一次")
    if "medium" in resource.share_ways and _empty(resource.share_ways_note):
        yield Problem(
            case.at("share_ways_note"),
            "通过邮件、拷盘、介质共享须说明原因",
            "优先用共享平台方式：数据库、Web Service、文件",
        )


@_check("open_to_public", "open_condition")
def _opening(case: _Case) -> Iterator[Problem]:
    if case.resource.open_to_public and not case.resource.open_condition.strip():
        yield Problem(case.at("open_condition"), "向社会开放的须写开放条件", "没有条件的写“无条件”")


@_check("formats", "items")
def _structure(case: _Case) -> Iterator[Problem]:
    resource = case.resource
    categories = {entry.partition("/")[0] for entry in resource.formats}
    if not resource.formats:
        yield Problem(case.at("formats"), "缺少", f"写“分类/类型”，分类可填：{'、'.join(vocabulary.FORMATS)}")
    if not resource.items and categories & vocabulary.STRUCTURED:
        yield Problem(case.at("items"), "缺少", "逐项写明；或写明数据类别和数据表，照表取用")


@_check("related")
def _related(case: _Case) -> Iterator[Problem]:
    for code in case.resource.related:
        if code == case.resource.code:
            yield Problem(case.at("related"), "关联到自己", "删去")
        elif codes.parse(code, case.pattern) is None:
            yield Problem(case.at("related"), f"{code} 不合代码规则", "例如 101001001/0001")
        elif case.around is not None and code not in case.around.related:
            yield Problem(case.at("related"), f"目录中没有 {code}", "核对代码；属于其他目录的可保留", "warning")


@_check()
def _items(case: _Case) -> Iterator[Problem]:
    names: dict[str, int] = {}
    labels: dict[str, int] = {}
    for number, item in case.draft.numbered:
        for field, text, seen in (("name", item.name.casefold(), names), ("label", item.label.strip(), labels)):
            first = seen.setdefault(text, number)
            if text and first != number:
                yield Problem(
                    case.item(number, item, field), f"与信息项 {first} 重复", "不分大小写，每个信息项各不相同"
                )
        yield from _item(case, number, item)


def _item(case: _Case, number: int, item: Item) -> Iterator[Problem]:
    yield from _form(item, lambda field: case.item(number, item, field))
    for row in item.rows:
        yield from _form(row, lambda field, row=row: case.item(number, item, field, row))  # type: ignore[misc]


def _form(item: Item, at: Callable[[str], str]) -> Iterator[Problem]:
    if not re.fullmatch(ITEM_NAME, item.name, re.ASCII):
        yield Problem(at("name"), "不是有效的英文名称", "字母开头，只含字母、数字、下划线，至多 63 位")
    if not item.label.strip() or len(item.label) > 128 or unseen(item.label):
        yield Problem(at("label"), "为空、过长或含看不见的字符", "1 至 128 字的中文名称")
    if item.scale is not None and not 0 <= item.scale <= (item.length or 38):
        yield Problem(at("scale"), "不在 0 与长度之间", "小数位不超过长度")
    if item.length is not None and item.length > 10_000_000:
        yield Problem(at("length"), "过大", "更长的内容用备注型 M 或通用型 G，不写长度")
    least = _CHECK_LENGTH.get(item.check or "", 1)
    if item.length is not None and item.length < least:
        yield Problem(at("length"), f"小于校验规则所需的 {least} 位", f"至少写 {least}，或去掉校验规则")
    if item.code_list is not None and item.code_list not in code_lists():
        yield Problem(
            at("code_list"),
            f"没有代码表 {shown(item.code_list)}",
            near(item.code_list, code_lists()),
        )
    if item.reference is not None:
        group = record_classes().get(item.reference)
        where = at("reference")
        if group is None:
            yield Problem(where, f"没有数据类别 {shown(item.reference)}", near(item.reference, record_classes()))
        elif not any(item.name == other.name for table in group.tables for other in table.items):
            yield Problem(where, f"{group.label}中没有信息项 {item.name}，无从核对", "改用那里的名称，或去掉引用类别")


@_check("record_class", "table")
def _class(case: _Case) -> Iterator[Problem]:
    resource = case.resource
    if resource.record_class is None:
        if resource.table is not None:
            yield Problem(case.at("record_class"), "写了数据表而没有写数据类别", near("", record_classes()))
        return
    try:
        known = record_class(resource.record_class)
    except SchemaError:
        yield Problem(
            case.at("record_class"),
            f"没有数据类别 {resource.record_class}",
            near(resource.record_class, record_classes()),
        )
        return
    if class_table(resource) is None:
        names = [table.name for table in known.tables]
        message = "缺少" if resource.table is None else f"{known.label}没有数据表 {resource.table}"
        yield Problem(case.at("table"), message, near(resource.table or "", names))


@_check("record_class", "table", "items", "key")
def _class_items(case: _Case) -> Iterator[Problem]:
    table = class_table(case.resource)
    if table is None:
        return
    standard = {item.name: item for item in table.items}
    for number, item in case.draft.numbered:
        model = standard.get(item.name)
        if model is None:
            yield Problem(
                case.item(number, item, "name"), f"数据表 {table.name} 没有这个信息项", near(item.name, standard)
            )
            continue
        if item.type != model.type:
            yield Problem(case.item(number, item, "type"), f"与数据表 {table.name} 不一致", f"写 {model.type}")
        if model.length is not None and item.length is not None and item.length > model.length:
            yield Problem(case.item(number, item, "length"), f"超过数据表 {table.name}", f"至多 {model.length}")
        if list(GRADES).index(item.grade) < list(GRADES).index(model.grade):
            yield Problem(case.item(number, item, "grade"), f"低于数据表 {table.name}", f"写“{GRADES[model.grade]}”")
    given = {item.name for item in case.resource.items}
    missing = [name for name in table.key if name not in given]
    if missing:
        yield Problem(case.at("items"), f"缺少数据表 {table.name} 的业务主键 {'、'.join(missing)}", "补上")
    elif case.resource.key and case.resource.key != table.key:
        yield Problem(case.at("key"), f"与数据表 {table.name} 不一致", f"写 {'、'.join(table.key)}，或不写")
    for item in table.items:
        if item.mandatory and item.name not in given and item.name not in table.key:
            yield Problem(
                case.at("items"),
                f"没有数据表 {table.name} 的必填项 {item.name}（{item.label}）",
                "能提供的请补上",
                "warning",
            )


@_check("items", "key", "version_item")
def _key_and_version(case: _Case) -> Iterator[Problem]:
    resource = case.resource
    names = [item.name for item in resource.items]
    if names and not resource.key:
        yield Problem(case.at("key"), "缺少", "写明能区分每一条数据的信息项，可有多个")
    if len(set(resource.key)) < len(resource.key):
        yield Problem(case.at("key"), "重复", "每个信息项只写一次")
    version = (resource.version_item,) if resource.version_item else ()
    for field, role, named, types in (
        ("key", "业务主键", resource.key, _KEY_TYPES),
        ("version_item", "版本项", version, _VERSION_TYPES),
    ):
        for name in named:
            item = resource.item(name)
            if item is None:
                yield Problem(case.at(field), f"没有信息项 {name}", near(name, names))
                continue
            number = case.draft.numbers[resource.items.index(item)]
            if item.type not in types:
                allowed = "、".join(f"{ITEM_TYPES[letter]} {letter}" for letter in ITEM_TYPES if letter in types)
                yield Problem(case.item(number, item, "type"), f"{role}不能用 {item.type}", f"可用：{allowed}")
            if not item.mandatory:
                yield Problem(case.item(number, item, "mandatory"), f"{role}须必填", "写“是”")


@_check("offer", "items", "provider_code")
def _offer(case: _Case) -> Iterator[Problem]:
    resource, offer = case.resource, case.resource.offer
    if offer is None:
        return
    at = case.at("offer")
    names = [item.name for item in resource.items]
    for name in offer.columns:
        if name not in names:
            yield Problem(f"{at} › 信息项对应字段", f"没有信息项 {name}", near(name, names))
    for column, times in Counter(offer.columns.values()).items():
        if times > 1:
            yield Problem(f"{at} › 信息项对应字段", f"字段 {column} 对应 {times} 个信息项", "请核对", "warning")
    for text in problems_of_children(offer.options.get("children"), resource.items, resource.key):
        yield Problem(f"{at} › 选项", text, "对照信息项和业务主键改正 children")
    if offer.profile is not None and offer.profile not in profiles():
        yield Problem(f"{at} › 前置库表族", f"没有 {offer.profile}", near(offer.profile, profiles()))
    if offer.served == "provider" and offer.capture in ("outbox", "batches"):
        remedy = "改为由基础库提供，或换一种变化获取方式"
        yield Problem(f"{at} › 共享来源", "带同步标志或操作批次的前置表只有一个读取方，不能由提供方直接提供", remedy)
    elif offer.served == "provider" and offer.profile in profiles() and profiles()[offer.profile].capture == "batches":
        # However it is read: a row that the grant covers may be followed by one of its key that it does not.
        message = "操作批次的前置表中同一主键有多行，早先的行不宜直接提供"
        yield Problem(f"{at} › 共享来源", message, "改为由基础库提供，由它汇成最新一行")
    if offer.served == "provider" and offer.capture == "pushed":
        yield Problem(f"{at} › 共享来源", "推送来的消息只有一份，不能由提供方直接提供", "改为由基础库提供")
    if case.around is None:
        return
    remedy = near(offer.endpoint, case.around.endpoints) or "先登记端点"
    if case.around.endpoint is None:
        yield Problem(f"{at} › 端点", f"没有登记端点 {offer.endpoint}", remedy)
    elif case.around.endpoint.department != resource.provider_code:
        yield Problem(f"{at} › 端点", f"{offer.endpoint} 不是提供方的端点", remedy)


@_check("share_type", "open_to_public")
def _personal_data(case: _Case) -> Iterator[Problem]:
    resource = case.resource
    table = class_table(resource)
    standard = set(table.items) if table else set()
    for number, item in case.draft.numbered:
        guesses = [found.guess(each.name, each.label).grade for each in (item, *item.rows)]
        suspected = max(guesses, key=list(GRADES).index) if item not in standard else item.grade
        if item.grade == "none" and suspected != "none":
            remedy = f"请核对，可标为“{GRADES[suspected]}”"
            yield Problem(case.item(number, item, "grade"), "看来是个人信息而未标明", remedy, "warning")
        if item.grade == "sensitive" and resource.shared_as(item) == 1:
            remedy = "请核对；可单独设为有条件共享，或只提供核验"
            yield Problem(case.item(number, item, "share_type"), "敏感个人信息无条件共享", remedy, "warning")
    personal = "、".join(item.label for item in resource.items if item.grade != "none")
    if resource.open_to_public and personal:
        remedy = "请核对，开放前去标识"
        yield Problem(case.at("open_to_public"), f"向社会开放的资源含个人信息：{personal}", remedy, "warning")
