"""The plan of a run (交换方案): everything that decides what will move, frozen before anything moves.

Making a plan is pure: registration, grant and capabilities go in, a plan or every reason against
it comes out. The plan's digest names it; the delivery key is the digest and a random run id.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from exchange.authorisation.expression import items_used, parse, problems
from exchange.errors import Invalid, Problem
from schemas import Item
from schemas.child_rows import problems_of_children

LIBRARY = "library"
"""Name of the base library's endpoint (基础库)."""

Guarantee = Literal["exactly once", "at least once"]


class Able(Protocol):
    """What planning must know of an endpoint (see the adapters' capabilities)."""

    @property
    def way(self) -> str:
        """The documented way of exchange it belongs to."""

    @property
    def captures(self) -> frozenset[Any]:
        """How it can be read."""

    @property
    def delivers(self) -> bool:
        """Whether it can be delivered to."""

    @property
    def transactional(self) -> bool:
        """Whether ledger row and rows become visible together."""

    @property
    def merges(self) -> bool:
        """Whether it compares with what is already there."""

    @property
    def documents(self) -> bool:
        """Whether files can travel with rows."""

    @property
    def refreshes(self) -> bool:
        """Whether a delivery can replace everything that is there."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class End(_Frozen):
    """One end of an exchange: the endpoint by name, and how the resource is bound there.

    Fields after ``endpoint`` mean what they mean in the adapters' binding; ``profile`` is a name.
    """

    endpoint: str
    object: str
    columns: dict[str, str]
    capture: str = "snapshot"
    profile: str | None = None
    fixed: dict[str, str] = {}
    options: dict[str, Any] = {}


class Tolerance(_Frozen):
    """How many refused rows a run may have before nothing is delivered (容错): either bound stops it.

    Attributes:
        rows: Refused rows at most; None: no such bound.
        share: Refused rows at most, as a share of the rows read; None: no such bound.
    """

    rows: int | None = Field(default=None, ge=0, strict=True)
    share: float | None = Field(default=None, ge=0, le=1, strict=True)

    def words(self) -> str:
        """The bounds as people read them."""
        bounds = [f"{self.rows} 行"] if self.rows is not None else []
        bounds += [f"读取行的 {self.share * 100:.6g}%"] if self.share is not None else []
        return "，".join(bounds) or "不限"

    def exceeded(self, refused: int, read: int) -> bool:
        """Whether so many refused of so many read are too many."""
        return (self.rows is not None and refused > self.rows) or (
            self.share is not None and read > 0 and refused > self.share * read
        )

    def left(self, refused: int, read: int) -> int | None:
        """How many more rows may be refused where so many of so many read are already; None: any number."""
        bounds = [self.rows] if self.rows is not None else []
        bounds += [math.floor(self.share * read)] if self.share is not None and read else []
        return max(0, min(bounds) - refused) if bounds else None


def tolerance_of(settings: Mapping[str, Any], default: Tolerance) -> Tolerance:
    """How many refused rows stop an exchange: its own figures, all of them, else the hub's."""
    own = settings.get("tolerance")
    return Tolerance(**own) if own else default


class Refresh(_Frozen):
    """Each delivery is everything the recipient holds: what is not in it goes (全量刷新).

    Attributes:
        may_fall: By which share of what the target holds the number of its rows may fall before nothing is delivered.
        accepted: So few rows may be left in this run, as somebody has accepted; None: nobody has.
    """

    may_fall: float = Field(default=0.1, ge=0, le=1, strict=True)
    accepted: int | None = Field(default=None, ge=0, strict=True)


def refresh_of(settings: Mapping[str, Any]) -> Refresh | None:
    """Whether an exchange refreshes its target instead of merging into it."""
    own = settings.get("refresh")
    return None if own is None else Refresh(**own)


def reasons_against_refresh(kind: str, source: End, target: End) -> list[str]:
    """Why an exchange cannot refresh its target, as far as its ends tell."""
    found = []
    if kind != "sharing" or target.endpoint == LIBRARY:
        found.append("基础库的表由多方共用，不能全量刷新")
    elif target.fixed:
        found.append(f"{target.object} 里有其他固定值的行，不是整张表归这一份授权，不能全量刷新")
    if source.capture != "snapshot":
        found.append(
            f"全量刷新要求每次全部读取（snapshot），来源以 {source.capture} 方式读取；"
            "资源须以 snapshot 挂接并写 served: provider"
        )
    return found


class Replay(_Frozen):
    """Refused rows that a run takes from quarantine instead of reading its source (隔离重送).

    Attributes:
        rows: Run that refused them to their numbers in it.
        repairs: Names of the corrections that go with them.
    """

    rows: dict[str, tuple[int, ...]]
    repairs: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many rows."""
        return sum(map(len, self.rows.values()))


class Plan(_Frozen):
    """What one run will do.

    Attributes:
        items: Items read and checked: the granted ones and those the filter needs.
        deliver: Names of the items handed over, in order.
        key: Business key (业务主键).
        version: Item whose higher value wins; None: the last read wins.
        filter: The granted rows, as a typed expression; None: all.
        masks: Item to mask.
        full: A full pass: the first one, or the shape of the grant changed, or a re-delivery.
        overwrite: Rows of an unchanged version may differ from what was delivered before.
        way: ``database``, ``webservice`` or ``file``.
        guarantee: What the target makes possible.
        remarks: What the reader of the plan must know, in words.
        replay: The rows come from quarantine; None: from the source.
        resend: Run whose rows are delivered once more; None: those that the source has for the exchange now.
        refresh: The target is to hold what is read and nothing else; None: what is read is merged into it.
    """

    exchange: str
    kind: Literal["synchronisation", "sharing"]
    way: str
    record_class: str
    resource: str
    resource_version: int
    grant: str
    grant_version: int
    purpose: dict[str, Any]
    provider: str
    recipient: str
    items: tuple[Item, ...]
    deliver: tuple[str, ...]
    key: tuple[str, ...]
    version: str | None
    filter: dict[str, Any] | None
    masks: dict[str, Any]
    source: End
    target: End
    full: bool
    overwrite: bool
    tolerance: Tolerance
    guarantee: Guarantee
    batch_rows: int
    digest_algorithm: str
    remarks: tuple[str, ...]
    replay: Replay | None = None
    refresh: Refresh | None = None
    resend: str | None = None

    @property
    def aside(self) -> bool:
        """Whether the run leaves the reading of its source where it is: it reads what was read before."""
        return self.replay is not None or self.resend is not None

    def digest(self) -> str:
        """Hex SHA-256 of the plan's canonical JSON."""
        return canonical_digest(self.model_dump(mode="json"))

    def shape(self) -> str:
        """Digest of what decides the content of a delivered row; another shape needs a full pass."""
        return shape_of(self)


def canonical_digest(value: Any) -> str:
    """Hex SHA-256 of a JSON value with sorted keys and no blanks."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def shape_of(plan: Plan) -> str:
    """See :meth:`Plan.shape`."""
    parts = plan.model_dump(
        mode="json", include={"items", "deliver", "key", "version", "filter", "masks", "grant", "source", "target"}
    )
    if parts["source"]["capture"] == "pushed":
        parts["source"]["options"].pop("message", None)  # nor does it matter in which message a row came
    del parts["source"]["capture"]  # how changes are found does not change what a row contains
    return canonical_digest(parts)


class Subject(_Frozen):
    """What is to be planned, collected by the caller from directory, grant and exchange."""

    exchange: str
    kind: Literal["synchronisation", "sharing"]
    record_class: str
    resource: str
    resource_version: int
    resource_items: tuple[Item, ...]
    key: tuple[str, ...]
    version: str | None
    grant: str
    grant_version: int
    grant_body: dict[str, Any]
    provider: str
    recipient: str
    source: End
    target: End
    previous_shape: str | None
    settings: dict[str, Any]


def make_plan(
    subject: Subject,
    source: Able,
    target: Able,
    *,
    rival_readers: Sequence[str] = (),
    rival_writers: Sequence[str] = (),
    tenants: Sequence[str] = (),
    redeliver: bool = False,
    forgotten: bool = False,
    accepted: int | None = None,
    batch_rows: int,
    tolerance: Tolerance,
    digest_algorithm: str,
) -> Plan:
    """Freeze what a run will do.

    Args:
        subject: What is to move, under which grant.
        source: Capabilities of the endpoint read from.
        target: Capabilities of the endpoint delivered to.
        rival_readers: Other exchanges that read the same object by its status column.
        rival_writers: Other exchanges that deliver into the same rows: each would take the other's away.
        tenants: Other exchanges that deliver into the same object, whichever rows of it.
        redeliver: Deliver everything again: the target lost what it had.
        forgotten: What the last pass was remembered by is lost or was tampered with: read everything again.
        accepted: So few rows may be left by a refresh this once.
        batch_rows: Rows in a batch.
        tolerance: Refused rows that stop a run, where the exchange has no own figure.
        digest_algorithm: ``sha256`` or ``sm3``.

    Raises:
        Invalid: With every reason why this cannot be done.
    """
    items = {item.name: item for item in subject.resource_items}
    granted = list(subject.grant_body["items"])
    expression = subject.grant_body.get("filter")
    needed = list(dict.fromkeys([*granted, *(items_used(parse(expression)) if expression else [])]))
    found = [
        *_problems_of_items(subject, items, granted, needed),
        *_problems_of_ends(subject, source, target, rival_readers, rival_writers),
        *_problems_of_refresh(subject, target, tenants, accepted),
        *_problems_of_children(subject, granted),
        *_problems_of_documents(subject, source, target, [items[name] for name in needed if name in items]),
    ]
    if expression:
        found += [("过滤条件", text) for text in problems(parse(expression), subject.resource_items)]
    if found:
        raise Invalid(
            f"交换 {subject.exchange} 不能执行",
            [Problem(where=f"交换 {subject.exchange} › {where}", message=text) for where, text in found],
        )
    refresh = refresh_of(subject.settings)
    plan = Plan(
        exchange=subject.exchange,
        kind=subject.kind,
        way=_way(source.way, target.way),
        record_class=subject.record_class,
        resource=subject.resource,
        resource_version=subject.resource_version,
        grant=subject.grant,
        grant_version=subject.grant_version,
        purpose=dict(subject.grant_body.get("purpose") or {}),
        provider=subject.provider,
        recipient=subject.recipient,
        items=tuple(items[name] for name in needed),
        deliver=tuple(granted),
        key=subject.key,
        version=subject.version,
        filter=expression,
        masks=dict(subject.grant_body.get("masks") or {}),
        source=subject.source.model_copy(update={"columns": {n: subject.source.columns[n] for n in needed}}),
        target=subject.target.model_copy(update={"columns": {n: subject.target.columns.get(n, n) for n in granted}}),
        full=True,
        overwrite=True,
        tolerance=tolerance_of(subject.settings, tolerance),
        guarantee="exactly once" if target.transactional else "at least once",
        batch_rows=int(subject.settings.get("batch_rows") or batch_rows),
        digest_algorithm=digest_algorithm,
        remarks=tuple(_remarks(subject, target, forgotten=forgotten)),
        refresh=None if refresh is None else refresh.model_copy(update={"accepted": accepted}),
    )
    if not (redeliver or forgotten) and subject.previous_shape == plan.shape():
        return plan.model_copy(update={"full": False, "overwrite": False})
    if plan.source.capture == "outbox" and (redeliver or subject.previous_shape is not None):
        # Rows marked as read long ago must come again: their content is no longer what was delivered.
        return plan.model_copy(update={"source": plan.source.model_copy(update={"capture": "snapshot"})})
    return plan


def _way(source: str, target: str) -> str:
    """The way a visitor would name: the one that is not the plain database, if there is one."""
    return next((way for way in (target, source) if way != "database"), "database")


def _problems_of_items(
    subject: Subject, items: Mapping[str, Item], granted: Sequence[str], needed: Sequence[str]
) -> list[tuple[str, str]]:
    found = [("授权信息项", f"资源 {subject.resource} 没有信息项 {name}") for name in needed if name not in items]
    found += [
        ("信息项映射", f"来源端 {subject.source.endpoint} 没有给出信息项 {name} 的列")
        for name in needed
        if name in items and name not in subject.source.columns
    ]
    found += [("业务主键", f"主键 {name} 不在授权信息项内") for name in subject.key if name not in granted]
    if not subject.key:
        found.append(("业务主键", "资源没有业务主键，无法合并"))
    if subject.version is not None and subject.version not in granted:
        found.append(("版本项", f"版本项 {subject.version} 不在授权信息项内"))
    return found


def _problems_of_ends(
    subject: Subject, source: Able, target: Able, rival_readers: Sequence[str], rival_writers: Sequence[str]
) -> list[tuple[str, str]]:
    found = []
    if subject.source.capture not in source.captures:
        able = "、".join(sorted(source.captures)) or "无"
        found.append(
            ("来源端", f"端点 {subject.source.endpoint} 不支持读取方式 {subject.source.capture}（支持：{able}）")
        )
    if not target.delivers:
        found.append(("目标端", f"端点 {subject.target.endpoint} 不能写入"))
    if subject.source.capture == "outbox" and subject.kind != "synchronisation":
        found.append(("来源端", "带同步标志的前置表只由归集读取，共享应从基础库提供"))
    if subject.source.capture == "diff" and subject.version is not None:
        message = (
            f"资源有版本项 {subject.version}：逐段比对（diff）不知道被删行的版本；"
            "应按版本项或更新时间用 watermark 方式读取，或从资源中去掉版本项"
        )
        found.append(("来源端", message))
    if subject.source.capture == "pushed" and subject.kind != "synchronisation":
        found.append(("来源端", "推送来的消息只由归集读取，共享应从基础库提供"))
    if rival_readers:
        others = "、".join(rival_readers)
        found.append(("来源端", f"前置表 {subject.source.object} 已由 {others} 按同步标志读取，一张表只能有一个读取方"))
    if rival_writers and target.merges:
        others = "、".join(rival_writers)
        message = f"{subject.target.object} 已由 {others} 送达，两个授权的行会互相收回；请另用一张表，或先撤销原授权"
        found.append(("目标端", message))
    return found


def _problems_of_refresh(
    subject: Subject, target: Able, tenants: Sequence[str], accepted: int | None
) -> list[tuple[str, str]]:
    if refresh_of(subject.settings) is None:
        return [("全量刷新", "不是全量刷新，没有行数下降可接受")] if accepted is not None else []
    found = reasons_against_refresh(subject.kind, subject.source, subject.target)
    if not target.refreshes or not target.transactional:
        found.append(f"端点 {subject.target.endpoint} 不能整体替换，全量刷新只用于数据库")
    if tenants:
        found.append(f"{subject.target.object} 也由 {'、'.join(tenants)} 送达，全量刷新会收回其送达的行")
    return [("全量刷新", text) for text in found]


def _problems_of_children(subject: Subject, granted: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for word, end in (("来源端", subject.source), ("目标端", subject.target)):
        children = end.options.get("children")
        found += [(word, text) for text in problems_of_children(children, subject.resource_items, subject.key)]
    if subject.source.options.get("children") and subject.source.capture == "diff":
        found.append(
            ("来源端", "逐段比对（diff）看不到子表的变化，不能读取有子表的资源；改用 snapshot、watermark 或 outbox")
        )
    found += [
        ("目标端", f"信息项 {name} 不在授权信息项内，它的子表没有行可写；请从目标的 children 中去掉")
        for name in subject.target.options.get("children") or {}
        if name not in granted
    ]
    return found


def _problems_of_documents(
    subject: Subject, source: Able, target: Able, needed: Sequence[Item]
) -> list[tuple[str, str]]:
    """Files travel only between places that have them: directories, and the base library with the hub's spool."""
    files = [item for item in needed if item.document]
    if not files:
        return []
    labels = "、".join(f"{item.label}（{item.name}）" for item in files)
    found = [
        (word, f"端点 {end.endpoint} 不能{verb}附件 {labels}；{remedy}")
        for word, end, able, verb, remedy in (
            ("来源端", subject.source, source, "提供", "资源改由文件端点（files）挂接，或从资源中去掉这些信息项"),
            ("目标端", subject.target, target, "接收", "改用文件方式共享，或申请时不要这些信息项"),
        )
        if not able.documents and end.endpoint != LIBRARY
    ]
    found += [("业务主键", f"附件 {item.name} 不能作业务主键") for item in files if item.name in subject.key]
    return found + [("版本项", f"附件 {item.name} 不能作版本项") for item in files if item.name == subject.version]


_CAPTURED = {
    "snapshot": "全量比对读取：看不到提供方的物理删除",
    "watermark": "按水位列读取：看不到提供方的物理删除；没有水位的行和晚于来源时钟的行每次都读；"
    "重叠时段内重复读到的行由目标端比对，计为未变化",
    "pushed": "推送读取：每次读一份提供方推送来的消息，送过的消息不能再读",
    "diff": "逐段比对读取：每次由来源库对全表计算摘要，只取有变化的行；提供方物理删除的行作为删除送达",
}


def _remarks(subject: Subject, target: Able, *, forgotten: bool) -> list[str]:
    refresh = refresh_of(subject.settings)
    remarks = [_CAPTURED[subject.source.capture]] if subject.source.capture in _CAPTURED else []
    if refresh is not None:
        fall = f"行数下降超过 {refresh.may_fall * 100:.6g}% 或一行不剩时不交付"
        remarks = [f"全量刷新：目标表只留这次读到、授权范围内、没有被拒收的行，其余删除，不看版本；{fall}"]
    if forgotten:
        remarks.append(
            "上次读取的记录缺失或被改动：本次全量读取；那次读取之后提供方物理删除的行无从得知，"
            "仍留在目标端，须与提供方核对后由接收方清理"
        )
    remarks += _remarks_on_children(subject)
    if subject.version is None:
        remarks.append("资源没有版本项：以最后读到的为准")
    if not target.merges:
        remarks.append("目标端不做比对：每次交付是一份变化清单，全部计为写入")
    if not target.transactional:
        remarks.append("目标端没有事务：至少送达一次，重复由交付编号识别")
    return remarks


def _remarks_on_children(subject: Subject) -> list[str]:
    """Which child tables are read and written, and when their changes are seen."""
    remarks = []
    for name, child in (subject.source.options.get("children") or {}).items():
        seen = "" if subject.source.capture == "snapshot" else "；只改了子表而上级行没有变动的，读不到"
        remarks.append(f"信息项 {name} 的子表行读自 {child['table']}，与上级行同一时刻{seen}")
    for name, child in (subject.target.options.get("children") or {}).items():
        remarks.append(f"信息项 {name} 的子表行写入 {child['table']}：随上级行在同一事务中先删后插")
    return remarks
