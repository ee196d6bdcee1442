"""Configuration as files (配置文件): what an integrator describes, compares and applies as a whole.

A YAML file holds any of ``departments``, ``endpoints``, ``resources``, ``applications`` and ``exchanges``, each a
list. All files given are one description. It is applied in one transaction, whole or not at all; a comparison
is the same transaction, rolled back, so that what is announced is what would happen. Approvals are
never part of it: a described resource is a draft, a described application waits for its answer.
An exchange comes of them; of itself only what differs from the hub's settings is described.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import Resource
from catalog.errors import CatalogError, Rejected, UnknownEntry
from exchange.audit import events
from exchange.authorisation.application import parse as parse_application
from exchange.authorisation.reading import read
from exchange.db import now
from exchange.db.tables import ApplicationRow, ExchangeRow
from exchange.engine import problems_of_endpoint
from exchange.errors import Denied, Invalid, Overtaken, Problem, Unknown
from exchange.hub.rhythm import RHYTHM, Rhythm
from exchange.hub.roster import CYCLES, ZONE
from exchange.identity import Actor
from exchange.plan import LIBRARY, End, Refresh, Tolerance, reasons_against_refresh
from exchange.settings import Role
from schemas import SchemaError
from schemas.errors import did_you_mean
from schemas.plain_yaml import Document, read_plain_yaml

if TYPE_CHECKING:
    from exchange.hub.core import Hub

KINDS: dict[str, tuple[str, str]] = {
    "departments": ("部门", "code"),
    "endpoints": ("端点", "name"),
    "resources": ("资源", "code"),
    "applications": ("申请", "id"),
    "exchanges": ("交换", "id"),
}
"""Kinds in the order they are applied in: what each is called, and the field that names one."""

_FRACTION = re.compile(r"[0-9]{1,3}(\.[0-9]{1,9})?%?")
ChangeAction = Literal["create", "change", "same"]


@dataclass(frozen=True)
class Change:
    """What applying a description does to one thing.

    Attributes:
        kind: ``部门``, ``端点``, ``资源``, ``申请`` or ``交换``.
        name: Its name or code.
        action: ``create``, ``change`` or ``same``.
        details: What changes, in words.
    """

    kind: str
    name: str
    action: ChangeAction
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Described:
    kind: str
    name: str
    given: Mapping[str, Any]
    where: str


def _share(value: Any) -> Any:
    """A fraction as a file holds it, as text: 0.05 or 5%."""
    if not isinstance(value, str) or not _FRACTION.fullmatch(value):
        return value
    return float(Decimal(value.removesuffix("%")) / (100 if value.endswith("%") else 1))


class _Tolerance(Tolerance):
    share: Annotated[float | None, Field(default=None, ge=0, le=1, strict=True), BeforeValidator(_share)] = None


class _Exchange(Rhythm):
    """What can be described of an exchange (交换任务), its rhythm among it."""

    id: str
    tolerance: _Tolerance | None = None
    """Refused rows that stop a run, in place of the hub's figures; None: the hub's."""
    refresh: Literal["full"] | None = None
    """Each delivery replaces everything its target holds; None: it is merged."""
    may_fall: Annotated[float | None, Field(ge=0, le=1, strict=True), BeforeValidator(_share)] = None
    """By which share the number of rows may fall in a refresh; None: as :class:`exchange.plan.Refresh` has it."""

    def settings(self) -> dict[str, Any]:
        """What differs from the hub's settings."""
        own = self.tolerance.model_dump(exclude_none=True) if self.tolerance else {}
        refreshed = Refresh() if self.may_fall is None else Refresh(may_fall=self.may_fall)
        refresh = {"refresh": refreshed.model_dump(exclude_none=True)} if self.refresh else {}
        rhythm = self.model_dump(mode="json", include=set(RHYTHM), exclude_defaults=True)
        return {**({"tolerance": own} if own else {}), **refresh, **rhythm}


_OWN = ("tolerance", "refresh", *RHYTHM)
"""Settings of an exchange that can be described."""


def _own(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: settings[name] for name in _OWN if settings.get(name)}


def _exchange_document(settings: Mapping[str, Any]) -> dict[str, Any]:
    """An exchange's own settings as a file has them."""
    own = _own(settings)
    refresh = own.pop("refresh", None)
    return own if refresh is None else {**own, "refresh": "full", **refresh}


class _Compared(Exception):
    """Rolls a comparison back."""


class Configuration:
    """Compares and applies descriptions."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def plan(self, paths: Sequence[Path], *, by: Actor) -> list[Change]:
        """What applying these files and folders would change; nothing is changed.

        Raises:
            Invalid: With everything that is wrong in all of them.
        """
        changes: list[Change] = []
        with suppress(_Compared):
            self._apply(paths, changes, by=by, keep=False)
        return changes

    def apply(self, paths: Sequence[Path], *, by: Actor) -> list[Change]:
        """Apply these files and folders, whole or not at all.

        Raises:
            Invalid: With everything that is wrong in all of them; nothing was changed.
        """
        changes: list[Change] = []
        self._apply(paths, changes, by=by, keep=True)
        return changes

    def export(self) -> str:
        """Everything described, as YAML that changes nothing when applied again."""
        hub = self._hub
        with hub.told(), hub.database.reading() as session:
            resources = [entry.resource for entry in hub.catalog.resources(session)]
            content = {
                "departments": [_plain(department) for department in hub.catalog.departments(session)],
                "endpoints": [_plain(endpoint) for endpoint in hub.catalog.endpoints(session)],
                "resources": [_plain_resource(resource) for resource in resources],
                "applications": [
                    {
                        "id": row.id,
                        **{name: value for name, value in row.body.items() if value not in (None, "", [], {})},
                    }
                    for row in session.query(ApplicationRow).order_by(ApplicationRow.submitted_at)
                ],
                "exchanges": [
                    {"id": row.id, **_exchange_document(row.settings)}
                    for row in session.scalars(select(ExchangeRow).order_by(ExchangeRow.id))
                    if _own(row.settings)
                ],
            }
        return yaml.dump(content, Dumper=_Plain, allow_unicode=True, sort_keys=False, width=120)

    def own_of(self, exchange: str, *, by: Actor) -> dict[str, Any]:
        """What is described of one exchange, as a file has it (交换设定), to its parties and the administrators."""
        self._hub.exchanges.demand_party(exchange, f"查看交换 {exchange} 的设定", by=by)
        with self._hub.database.reading() as session:
            return _exchange_document(session.get_one(ExchangeRow, exchange).settings)

    def configure(
        self, exchange: str, given: Mapping[str, Any], *, by: Actor, begun: Mapping[str, Any] | None = None
    ) -> Change:
        """Describe one exchange anew, as a file would (交换设定); what is not given is as the hub's settings have it.

        Args:
            exchange: Its id.
            given: What a file holds of it, without the id.
            by: An integrator of the recipient or of the hub.
            begun: What one began from (:meth:`own_of`); None: whatever stands now.

        Raises:
            Unknown: There is no such exchange.
            Overtaken: Somebody else has set it meanwhile.
            Invalid: With everything that is wrong.
            Denied: The actor may not.
        """
        hub = self._hub
        what, about = f"设定交换 {exchange}", {"exchange": exchange}
        with hub.database.reading() as session:
            row = session.get(ExchangeRow, exchange)
            of = [row.recipient] if row is not None else []
        with hub.permitted(by, Role.INTEGRATOR, action=what, of=of, **about):
            if row is None:
                raise Unknown(f"没有交换 {exchange}", remedy="用 shutong status 查看已有的交换")
            try:
                with hub.told(), hub.database.transaction() as session:
                    held = session.get_one(ExchangeRow, exchange, with_for_update=True, populate_existing=True)
                    if begun is not None and _exchange_document(held.settings) != begun:
                        raise Overtaken(f"交换 {exchange} 的设定已由他人改动", remedy="对照现在的设定，需要的再改一次")
                    described = _Described("exchanges", exchange, {**given, "id": exchange}, exchange)
                    change = self._put_exchanges(session, described, by)
            except Denied as error:
                hub.denied(by, what, error, **about)
                raise
            except Invalid as error:
                raise Invalid(f"没有{what}", error.problems, remedy=error.remedy) from error
            hub.audit.seal()
        return change

    # --- reading -------------------------------------------------------------------------------

    def _read(self, paths: Sequence[Path]) -> list[_Described]:
        """Everything described, with every fault of form at once."""
        problems: list[Problem] = []
        described: list[_Described] = []
        seen: dict[tuple[str, str], str] = {}
        for path in _files(paths, problems):
            try:
                document = read_plain_yaml(path.read_bytes(), name=path.name)
            except SchemaError as error:
                told = (text.partition(": ") for text in error.problems)  # each names the file
                problems += [Problem(where, message) for where, _colon, message in told]
                continue
            for entry in _entries(document, problems):
                name = (entry.kind, entry.name)
                if entry.name and name in seen:
                    message = f"{KINDS[entry.kind][0]} {entry.name} 写了两次，另一处在 {seen[name]}"
                    problems.append(Problem(where=entry.where, message=message, remedy="只保留一处"))
                seen[name] = entry.where
                described.append(entry)
        if problems:
            raise Invalid(f"配置文件有误，共 {len(problems)} 处", problems)
        return sorted(described, key=lambda entry: list(KINDS).index(entry.kind))

    # --- applying ------------------------------------------------------------------------------

    def _apply(self, paths: Sequence[Path], changes: list[Change], *, by: Actor, keep: bool) -> None:
        hub = self._hub
        with hub.permitted(by, Role.INTEGRATOR, action="应用配置文件" if keep else "比对配置文件"):
            described = self._read(paths)
            problems: list[Problem] = []
            with hub.told(), hub.database.transaction() as session:
                for entry in described:
                    try:
                        with session.begin_nested():
                            changes.append(self._one(session, entry, by))
                    except Rejected as error:
                        problems += [_placed(entry, p.where, p.message, p.remedy) for p in error.problems]
                    except CatalogError as error:
                        problems.append(_placed(entry, "", error.message, error.remedy))
                    except Invalid as error:
                        found = error.problems or (Problem(where="", message=error.message, remedy=error.remedy),)
                        problems += [_placed(entry, p.where, p.message, p.remedy) for p in found]
                    except Denied as error:
                        problems += [_placed(entry, "", reason, error.remedy) for reason in error.reasons]
                if problems:
                    raise Invalid(f"配置有误，共 {len(problems)} 处，未作任何改动", problems)
                if not keep:
                    raise _Compared

    def _one(self, session: Session, entry: _Described, by: Actor) -> Change:
        return getattr(self, f"_put_{entry.kind}")(session, entry, by)  # type: ignore[no-any-return]

    def _of(self, by: Actor, department: str) -> None:
        """An integrator describes what is his own department's; the hub's own describe everybody's."""
        if by.department not in {department, self._hub.settings.hub_department}:
            reason = f"{by.name} 只能描述本部门的内容，这一项属于 {department}"
            raise Denied(reason, [reason], remedy="由当事部门或平台管理单位的集成工程师应用")

    def _put_departments(self, session: Session, entry: _Described, by: Actor) -> Change:
        hub = self._hub
        try:
            before = hub.catalog.department(session, entry.name)
        except UnknownEntry:
            before = None
        after = hub.catalog.put_department(session, entry.given)
        self._of(by, after.code)
        if before is None or before != after:
            event = events.DepartmentRegistered(code=after.code, name=after.name)
            hub.audit.record(session, event, by=by, department=after.code)
        return _change("部门", entry.name, _plain(before) if before else None, _plain(after))

    def _put_endpoints(self, session: Session, entry: _Described, by: Actor) -> Change:
        hub = self._hub
        try:
            before = hub.catalog.endpoint(session, entry.name)
        except UnknownEntry:
            before = None
        after = hub.catalog.put_endpoint(session, entry.given)
        self._of(by, after.department)
        problems = problems_of_endpoint(after, home=hub.settings.home)
        if problems:
            raise Invalid("端点选项有误", problems)
        if before is None or before != after:
            event = events.EndpointRegistered(name=after.name, kind=after.kind)
            hub.audit.record(session, event, by=by, department=after.department)
        return _change("端点", entry.name, _plain(before) if before else None, _plain(after))

    def _put_resources(self, session: Session, entry: _Described, by: Actor) -> Change:
        hub = self._hub
        told = hub.catalog.register(session, entry.given, by.name, by.department)
        self._of(by, told.entry.resource.provider_code)
        if told.action is None:
            return Change("资源", entry.name, "same")
        code, version = told.entry.code, told.entry.version
        event = events.ResourceRegistered(code=code, version=version, name=told.entry.resource.name)
        hub.audit.record(session, event, by=by, resource=code)
        details = tuple(str(change) for change in told.changes)
        return Change("资源", entry.name, "create" if told.action == "add" else "change", details)

    def _put_applications(self, session: Session, entry: _Described, by: Actor) -> Change:
        hub = self._hub
        application = parse_application(entry.given)
        row = session.get(ApplicationRow, entry.name)
        if row is None:
            hub.sharing.enter(session, application, by=by)
            return Change("申请", entry.name, "create")
        if row.body != application.body():
            change = _change("申请", entry.name, row.body, application.body())
            raise Invalid(
                "已提交的申请不能改动",
                [Problem(where="", message=text, remedy="撤回后用新的编号重新申请") for text in change.details],
            )
        return Change("申请", entry.name, "same")

    def _reschedule(self, session: Session, row: ExchangeRow, rhythm: Rhythm) -> None:
        """Let an exchange be due by its new times; what is due already stays so."""
        moment = now(session)
        if row.due_at is None or row.due_at <= moment:
            return
        cycle = str(self._hub.catalog.resource(session, row.resource).resource.update_cycle)
        by_cycle = moment + CYCLES.get(cycle, CYCLES["daily"])
        row.due_at = rhythm.following(moment.astimezone(ZONE)) or min(row.due_at, by_cycle)

    def _put_exchanges(self, session: Session, entry: _Described, by: Actor) -> Change:
        hub = self._hub
        described = read(TypeAdapter(_Exchange), entry.given, "")
        row = session.get(ExchangeRow, entry.name, with_for_update=True)
        if row is None:
            remedy = "资源发布后有归集，申请获准后有共享；编号见 shutong status"
            raise Invalid("", [Problem(where="id", message=f"没有交换 {entry.name}", remedy=remedy)])
        # How incomplete a delivery may be is for those who receive it to say.
        self._of(by, row.recipient)
        before, after = _own(row.settings), described.settings()
        self._demand_refreshable(row, described)
        self._demand_read(session, row, described)
        about = {"resource": row.resource, "exchange": row.id, "department": row.recipient}
        if before != after:
            row.settings = {name: value for name, value in row.settings.items() if name not in _OWN} | after
        if before.get("schedule") != after.get("schedule"):
            self._reschedule(session, row, described)
        if before.get("tolerance") != after.get("tolerance"):
            figures = {name: str(value) for name, value in after.get("tolerance", {}).items()}
            tolerated = events.ToleranceConfigured(**{"rows": None, "share": None, **figures})
            hub.audit.record(session, tolerated, by=by, **about)
        if before.get("refresh") != after.get("refresh"):
            refresh = after.get("refresh")
            fall = None if refresh is None else str(refresh["may_fall"])
            configured = events.RefreshConfigured(full=refresh is not None, may_fall=fall)
            hub.audit.record(session, configured, by=by, **about)
        if any(before.get(name) != after.get(name) for name in RHYTHM):
            rhythm = events.RhythmConfigured(**described.model_dump(include=set(RHYTHM)))
            hub.audit.record(session, rhythm, by=by, **about)
        return _change("交换", entry.name, before, after)

    def _demand_read(self, session: Session, row: ExchangeRow, described: _Exchange) -> None:
        """That it waits for nothing but resources of the base library, and reads that itself.

        Raises:
            Invalid: It does not; says every reason.
        """
        reasons = []
        if described.all_of and row.source["endpoint"] != LIBRARY:
            reasons.append("all_of 只用于从基础库读取的共享")
        for code in described.all_of:
            try:
                self._hub.catalog.resource(session, code, published=True)
            except CatalogError as error:
                reasons.append(error.message)
        if reasons:
            remedy = "写已发布资源的代码，见 shutong search"
            raise Invalid("", [Problem(where="all_of", message=text, remedy=remedy) for text in reasons])

    def _demand_refreshable(self, row: ExchangeRow, described: _Exchange) -> None:
        """That a refresh can be, as far as can be told without a plan.

        Raises:
            Invalid: It cannot; says every reason.
        """
        reasons: list[str] = []
        if described.refresh is not None:
            reasons = reasons_against_refresh(row.kind, End(**row.source), End(**row.target))
        elif described.may_fall is not None:
            reasons = ["may_fall 只与 refresh: full 同用"]
        if reasons:
            where = "refresh" if described.refresh else "may_fall"
            remedy = "去掉它，按主键合并"
            raise Invalid("", [Problem(where=where, message=text, remedy=remedy) for text in reasons])


class _Plain(yaml.SafeDumper):
    """Writes no anchors: the reader accepts none."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _plain(model: Any, *, leave_out: set[str] | None = None) -> dict[str, Any]:
    """A registered thing as plain values, without what was left at its default."""
    values: dict[str, Any] = model.model_dump(mode="json", exclude_defaults=True, exclude=leave_out or set())
    return values


def _plain_resource(resource: Resource) -> dict[str, Any]:
    values = _plain(resource, leave_out={"published_on", "provider"})
    if resource.offer is not None:
        # Left out, it would be that of the table family, which need not be the one registered.
        values["offer"]["capture"] = resource.offer.capture
    return values


def _files(paths: Sequence[Path], problems: list[Problem]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
            if not found:
                problems.append(Problem(where=str(path), message="文件夹里没有 .yaml 文件"))
            yield from found
        elif path.is_file():
            yield path
        else:
            problems.append(Problem(where=str(path), message="没有这个文件或文件夹"))


def _entries(document: Document, problems: list[Problem]) -> Iterator[_Described]:
    data = document.data if document.data is not None else {}
    if not isinstance(data, dict):
        problems.append(Problem(where=document.name, message="应为“名称: 列表”的对照", remedy="、".join(KINDS)))
        return
    for kind, entries in data.items():
        if kind not in KINDS:
            remedy = did_you_mean(str(kind), KINDS) or f"可写：{'、'.join(KINDS)}"
            problems.append(Problem(where=document.where((kind,)), message=f"不认识的内容 {kind}", remedy=remedy))
            continue
        if not isinstance(entries, list):
            problems.append(Problem(where=document.where((kind,)), message="应为列表", remedy="每一项以 - 开头"))
            continue
        for index, given in enumerate(entries):
            where = document.where((kind, index))
            field = KINDS[kind][1]
            if not isinstance(given, dict):
                problems.append(Problem(where=where, message="应为“名称: 值”的对照"))
            elif not isinstance(given.get(field), str) or not given[field]:
                problems.append(
                    Problem(where=where, message=f"缺少 {field}", remedy=f"每个{KINDS[kind][0]}写明 {field}，用文字")
                )
            else:
                yield _Described(kind, given[field], given, where)


def _placed(entry: _Described, where: str, message: str, remedy: str) -> Problem:
    place = f"{entry.where} › {where}" if where else entry.where
    return Problem(where=place, message=message, remedy=remedy)


def _change(kind: str, name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Change:
    if before is None:
        return Change(kind, name, "create")
    details = tuple(_differences(before, after))
    return Change(kind, name, "change" if details else "same", details)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[str]:
    for field in dict.fromkeys((*before, *after)):
        old, new = before.get(field), after.get(field)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from (f"{field}.{text}" for text in _differences(old, new))
        else:
            yield f"{field}: {old if field in before else '无'} → {new if field in after else '无'}"
