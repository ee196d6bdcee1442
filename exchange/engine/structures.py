"""The structures of both ends of an exchange (两端结构): kept, compared before every run, and held for where need be.

A comparison of structures says what is different (:mod:`adapters.structure`). Here it is judged by what the exchange
does with the table: what loses nothing is noted and taken over in the transaction that begins the run; what loses
something, or may, holds the exchange before anything is read, until the table is as it was, the resource follows it
in a new version, or an integrator answers for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters import Difference, Endpoint, Structure, StructureColumn, differences
from adapters.structure import ARGUMENT
from exchange.audit import AuditLog, events
from exchange.db import HubDatabase, now
from exchange.db.tables import ExchangeRow, NoticeRow, StructureRow
from exchange.engine.opening import translated
from exchange.errors import Busy, Held, HubError
from exchange.identity import Actor
from exchange.plan import End, Plan
from exchange.settings import Settings
from schemas import Profile, profile

Side = Literal["source", "target"]
SIDES: dict[Side, str] = {"source": "来源端", "target": "目标端"}
_PLATFORM = "platform"


@dataclass(frozen=True)
class Change:
    """A difference, judged by what the exchange does with the table (结构变化).

    Attributes:
        side: At which end.
        difference: What is different.
        holds: The exchange does not run until somebody has answered for it.
        why: What would be lost, or what to bear in mind; in words.
    """

    side: Side
    difference: Difference
    holds: bool
    why: str = ""

    def __str__(self) -> str:
        return f"{self.difference}{f'：{self.why}' if self.why else ''}"


@dataclass(frozen=True)
class Look:
    """What was found at one end."""

    side: Side
    end: End
    found: Structure


@dataclass(frozen=True)
class Comparison:
    """One end now, beside what it was when that was last in order.

    Attributes:
        look: What was found.
        before: What it is compared with; None: it was never looked at, or the exchange has moved elsewhere.
        changes: Every difference, judged.
    """

    look: Look
    before: Structure | None
    changes: tuple[Change, ...]

    @property
    def holds(self) -> tuple[Change, ...]:
        """The changes that hold the exchange."""
        return tuple(change for change in self.changes if change.holds)


def looked(plan: Plan, side: Side, endpoint: Endpoint) -> Look | None:
    """Look at one end; None: places of its kind do not tell.

    Raises:
        HubError: It could not be looked at.
    """
    end = plan.source if side == "source" else plan.target
    with translated(f"{SIDES[side]} {end.endpoint}"):
        found = endpoint.structure(end.object)
    return None if found is None else Look(side, end, found)


def judged(plan: Plan, look: Look, before: Structure) -> tuple[Change, ...]:
    """Every difference between what an end was and what was found, with what it means to the exchange."""
    found = differences(before, look.found)
    judge = _Judge(plan, look, before, found)
    return tuple(judge.change(each) for each in found)


class Structures:
    """Keeps the structures of exchanges, and holds those whose ends are no longer what they were."""

    def __init__(self, settings: Settings, database: HubDatabase, audit: AuditLog) -> None:
        self._settings = settings
        self._database = database
        self._audit = audit

    def look(self, plan: Plan, source: Endpoint, target: Endpoint) -> tuple[tuple[Look, ...], HubError | None]:
        """Look at both ends.

        Returns:
            What was found, and why the source could not be looked at: a run says so where it says why it failed.

        Raises:
            HubError: The target could not be looked at.
        """
        unseen = None
        try:
            first = looked(plan, "source", source)
        except HubError as error:
            first, unseen = None, error
        found = (first, looked(plan, "target", target))
        return tuple(look for look in found if look is not None), unseen

    def compare(self, session: Session, plan: Plan, looks: Iterable[Look]) -> tuple[Comparison, ...]:
        """Each end beside what is kept of it."""
        return tuple(self._comparison(session, plan, look) for look in looks)

    def demand(self, plan: Plan, looks: Sequence[Look], *, by: Actor) -> None:
        """Hold the exchange if anything about its ends may lose something; each new finding is notified once.

        Raises:
            Held: With every change that holds it.
        """
        with self._database.reading() as session:
            if not any(each.holds for each in self.compare(session, plan, looks)):
                return
        with self._database.transaction() as session:
            compared = self.compare(session, plan, looks)
            for each in compared:
                if each.holds:
                    self._hold(session, plan, each, by)
        reasons = [
            f"{SIDES[each.look.side]} {_where(each.look)}：{change}" for each in compared for change in each.holds
        ]
        if not reasons:
            return  # it was put back at this very moment
        raise Held(
            f"交换 {plan.exchange} 因表结构变化待批准，没有读取任何数据",
            reasons,
            remedy=f"用 shutong exchange diff {plan.exchange} 查看；请对方改回，或登记资源的新版本跟随，"
            f"或由集成工程师执行 shutong exchange approve {plan.exchange} --reason 理由",
        )

    def record(self, session: Session, run: str, plan: Plan, looks: Iterable[Look], *, by: Actor) -> None:
        """Take over what was found, in the transaction that begins a run.

        Raises:
            Busy: What is kept changed since it was compared.
        """
        for each in self.compare(session, plan, looks):
            if each.holds:
                raise Busy(f"交换 {plan.exchange} 的表结构刚刚核对过", remedy="稍后重试")
            self._take_over(session, run, plan, each, by)

    def approve(self, session: Session, plan: Plan, each: Comparison, *, reason: str, by: Actor) -> None:
        """Make what was found at an end what it is compared with from now on."""
        row = self._kept(session, plan, each.look)
        if row is None:
            return
        row.approved, row.approved_by, row.approved_at = each.look.found.document(), by.name, now(session)
        row.noted = [str(change) for change in each.changes]
        row.found, row.reasons, row.found_at = None, [], None
        changes = tuple(str(change) for change in each.changes)
        look = each.look
        event = events.StructureApproved(side=look.side, endpoint=look.end.endpoint, changes=changes, reason=reason)
        self._audit.record(session, event, by=by, **_about(plan))

    def _comparison(self, session: Session, plan: Plan, look: Look) -> Comparison:
        row = self._kept(session, plan, look)
        if row is None:
            return Comparison(look, None, ())
        before = Structure.read(row.approved)
        return Comparison(look, before, judged(plan, look, before))

    def _kept(self, session: Session, plan: Plan, look: Look) -> StructureRow | None:
        """What is kept of an end; nothing where the exchange has moved to another place, or there never was a table."""
        row = session.get(StructureRow, (plan.exchange, look.side))
        here = (look.end.endpoint, look.end.object)
        return row if row is not None and (row.endpoint, row.object) == here else None

    def _take_over(self, session: Session, run: str, plan: Plan, each: Comparison, by: Actor) -> None:
        look, changes = each.look, tuple(str(change) for change in each.changes)
        if each.before is None and look.found.lies == "absent":
            return  # the run itself will say that there is nothing
        side, endpoint = look.side, look.end.endpoint
        row = session.get(StructureRow, (plan.exchange, side)) or StructureRow(exchange=plan.exchange, side=side)
        about = _about(plan)
        if each.before is None:
            recorded = events.StructureRecorded(side=side, endpoint=endpoint, columns=len(look.found.columns))
            self._audit.record(session, recorded, by=by, **about)
        elif row.found is not None:
            self._audit.record(session, events.HoldLifted(side=side, endpoint=endpoint), by=by, **about)
        if changes:
            changed = events.StructureChanged(side=side, endpoint=endpoint, changes=changes)
            self._audit.record(session, changed, by=by, run=run, **about)
        if each.before is None or changes:
            row.endpoint, row.object = endpoint, look.end.object
            row.approved, row.approved_by, row.approved_at = look.found.document(), _PLATFORM, now(session)
        row.noted, row.found, row.reasons, row.found_at = list(changes), None, [], None
        session.add(row)

    def _hold(self, session: Session, plan: Plan, each: Comparison, by: Actor) -> None:
        """Note why, and tell everybody concerned in the same breath; the same finding again is nothing new."""
        row = session.get_one(StructureRow, (plan.exchange, each.look.side), with_for_update=True)
        found, reasons = each.look.found.document(), [str(change) for change in each.holds]
        if row.found == found and row.reasons == reasons:
            return
        moment = now(session)
        row.found, row.reasons, row.found_at = found, reasons, moment
        look = each.look
        changes = tuple(str(change) for change in each.changes)
        event = events.HoldPlaced(side=look.side, endpoint=look.end.endpoint, changes=changes)
        self._audit.record(session, event, by=by, **_about(plan))
        text = f"交换 {plan.exchange} 的{SIDES[look.side]} {_where(look)} 结构有变化，暂停待批准：{'；'.join(reasons)}"
        for department in dict.fromkeys((plan.provider, plan.recipient, self._settings.hub_department)):
            session.add(NoticeRow(department=department, run=None, text=text, at=moment))
            issued = events.NoticeIssued(department=department)
            self._audit.record(session, issued, by=by, exchange=plan.exchange, department=department)


def compared(session: Session) -> dict[tuple[str, str], StructureRow]:
    """What is known of the ends of all exchanges, by exchange and side: for :func:`held` of many."""
    return {(row.exchange, row.side): row for row in session.scalars(select(StructureRow))}


def held(
    session: Session, exchange: ExchangeRow, known: Mapping[tuple[str, str], StructureRow] | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Why an exchange is held, and what its last run noted; in words."""
    reasons: list[str] = []
    noted: list[str] = []
    for side, word in SIDES.items():
        end = exchange.source if side == "source" else exchange.target
        key = (exchange.id, side)
        row = session.get(StructureRow, key) if known is None else known.get(key)
        if row is None or (row.endpoint, row.object) != (end["endpoint"], end["object"]):
            continue
        where = f"{word} {row.endpoint} › {row.object}"
        reasons += [f"{where}：{text}" for text in row.reasons]
        noted += [f"{where}：{text}" for text in row.noted]
    return tuple(reasons), tuple(noted)


class _Judge:
    """What a difference at one end means to an exchange."""

    def __init__(self, plan: Plan, look: Look, before: Structure, found: Iterable[Difference]) -> None:
        self._plan = plan
        self._look = look
        self._before = before
        self._items = {column: name for name, column in look.end.columns.items()}
        self._used = {*look.end.columns.values(), *look.end.fixed, *_of_family(look.end), *_of_request(look.end)}
        self._key = {*look.end.fixed, *(look.end.columns[name] for name in plan.key)}
        self._now = {column.name: column for column in look.found.columns}
        self._called = {each.column: each.after for each in found if each.kind == "renamed"}

    def change(self, difference: Difference) -> Change:
        """The difference, judged."""
        rule = self._of_source if self._look.side == "source" else self._of_target
        holds, why = rule(difference)
        return Change(self._look.side, difference, holds, why)

    def _of_source(self, it: Difference) -> tuple[bool, str]:
        used = self._is_used(it.column)
        match it.kind:
            case "gone":
                return True, "读不到数据"
            case "service":
                return True, "读到的可能是别处的数据，请向对方核实"
            case "lies":
                return self._look.found.lies == "view", "视图里可能少了行" if self._look.found.lies == "view" else ""
            case "added" | "not null" if it.column.startswith(ARGUMENT) and not used:
                demanded = not self._column(it.column).nullable
                return demanded, "服务要求的参数没有登记" if demanded else ""
            case "added":
                return False, "要共享它，请登记资源的新版本" if it.column not in self._used else ""
            case "dropped" if it.column in self._used:
                return True, f"{self._item(it.column)}读不到了"
            case "renamed" if it.column in self._used:
                return True, f"{self._item(it.column)}读不到了；若确是改名，请登记资源的新版本，改挂接到 {it.after}"
            case "widened" if used:
                return False, self._too_long(it.column)
            case "narrowed" if used:
                return True, "值可能已被截短"
            case "type" if used:
                return True, "值的含义可能变了"
            case "characters" if used and not self._column(it.column).unicode:
                return True, "生僻字可能已丢失"
            case "key":
                return bool(self._before.key), "行的标识变了" if self._before.key else ""
        return False, ""

    def _of_target(self, it: Difference) -> tuple[bool, str]:
        used = self._is_used(it.column)
        match it.kind:
            case "gone":
                return True, "没有地方可写"
            case "service":
                return True, "数据可能送到别处，请向对方核实"
            case "lies":
                return self._look.found.lies == "view", "写不进视图" if self._look.found.lies == "view" else ""
            case "added" | "not null" | "no default" if not used:
                column = self._column(it.column)
                stuck = not (column.nullable or column.filled or column.computed)
                return stuck, "交付不写它，又没有默认值，行会被拒收" if stuck else ""
            case "not null" if it.column not in self._key:
                return True, "空值会被拒收"
            case "dropped" | "renamed" if it.column in self._used:
                return True, f"{self._item(it.column)}没有地方可写"
            case "narrowed" if used:
                return True, "长的值会装不下"
            case "type" if used:
                return True, "值可能装不下或变样"
            case "computed" if used and self._column(it.column).computed:
                return True, "写不进去"
            case "characters" if used and not self._column(it.column).unicode:
                return True, "生僻字装不下"
            case "collation" if it.column in self._key and not self._column(it.column).exact:
                return True, "不同的主键会被当作同一个"
            case "key":
                return True, "合并的依据变了"
            case "unique":
                fresh = {frozenset(names) for names in self._look.found.unique} - {
                    frozenset(names) for names in self._before.unique
                }
                lost = frozenset(self._key) not in {frozenset(names) for names in self._look.found.unique}
                return bool(fresh) or lost, "行可能因重复被拒收" if fresh else "合并的依据没有了" if lost else ""
        return False, ""

    def _column(self, name: str) -> StructureColumn:
        return self._now[self._called.get(name, name)]

    def _is_used(self, name: str) -> bool:
        return name in self._used or self._called.get(name) in self._used

    def _item(self, column: str) -> str:
        item = self._items.get(column)
        return f"信息项 {item} " if item else "交换要用的列"

    def _too_long(self, name: str) -> str:
        """Advice where a column may now hold more than its item was registered with."""
        item = self._items.get(name) or self._items.get(self._called.get(name, ""))
        length = next((each.length for each in self._plan.items if each.name == item), None)
        size = self._column(name).length
        if length is None or (size is not None and size <= length):
            return ""
        return f"信息项 {item} 登记的长度是 {length}，更长的行会被拒收；请登记资源的新版本"


def _of_request(end: End) -> set[str]:
    """The arguments of a service that an end's options name."""
    options = {"cursor": "cursor", "limit": "limit"} | end.options
    inner = [value for value in options.values() if isinstance(value, dict)]
    words = [*options.values(), *(word for each in inner for word in (*each, *each.values()))]
    return {f"{ARGUMENT}{word}" for word in words if isinstance(word, str)}


def _of_family(end: End) -> set[str]:
    """The state columns of the family of front-end tables that an end belongs to."""
    if end.profile is None:
        return set()
    family: Profile = profile(end.profile)
    marks = [mark.column for mark in (family.state, family.delete) if mark is not None]
    named = [
        family.version,
        family.read_at,
        family.error_text,
        family.written_at,
        family.batch,
        family.time,
        family.row,
    ]
    return {*marks, *family.constants, *(name for name in named if name is not None)}


def _where(look: Look) -> str:
    return f"{look.end.endpoint} › {look.end.object}"


def _about(plan: Plan) -> dict[str, str]:
    return {"resource": plan.resource, "exchange": plan.exchange, "department": plan.recipient}
