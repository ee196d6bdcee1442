"""The directory (资源目录): departments, endpoints, resources and their way to publication.

A :class:`Catalog` keeps nothing itself: every method takes the caller's session, and what it changes
is part of the caller's transaction. Who may do what is decided above; here only the persons of one
version are kept apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from pydantic_core import PydanticCustomError
from sqlalchemy import SQLColumnExpression, Text, bindparam, case, func, select
from sqlalchemy import cast as cast_to
from sqlalchemy.orm import Session

from catalog import codes, facets, lists, parties, search, versions
from catalog.asking import askable, require_person, unknown
from catalog.comparison import Change, difference
from catalog.entries import DemandEntry, Entry, Found, Hit, Outline, Registered, ResponsibilityList, Step
from catalog.errors import Problem, Rejected, UnknownEntry, WrongState
from catalog.facets import Cube, Facets
from catalog.model import Demand, Department, EndpointSpec, Resource
from catalog.reading import Draft, Form, near, read_demand, read_department, read_endpoint, read_resource
from catalog.tables import ResourceRow, ResourceVersionRow
from catalog.validation import errors, problems
from catalog.vocabulary import (
    SHARE_TYPES,
    SHARE_WAYS,
    UPDATE_CYCLES,
    DemandState,
    ShareType,
    ShareWay,
    UpdateCycle,
    choose,
)
from catalog.workflow import MOVES, Action, move

T = TypeVar("T", bound=Hashable)
_PAGE = 200
_CHECKED: frozenset[Action] = frozenset({"submit_registration", "submit_publication", "agree_publication"})
"""Moves before which the registration is looked at again: the directory around it may have changed."""

_RESOURCE, _VERSION = ResourceRow.__table__, ResourceVersionRow.__table__
_WRITTEN = (
    select(cast_to(_VERSION.c.body, Text))
    .join_from(
        _RESOURCE,
        _VERSION,
        (_VERSION.c.resource == _RESOURCE.c.code) & (_VERSION.c.version == _RESOURCE.c.in_force),
    )
    .where(_RESOURCE.c.code == bindparam("code"))
)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Catalog:
    """The resource directory (政务信息资源目录).

    Args:
        code_pattern: The local grammar of resource codes.
        clock: Says what time it is, as an aware time.
    """

    def __init__(self, *, code_pattern: str = codes.PATTERN, clock: Callable[[], datetime] = _utc_now) -> None:
        try:
            re.compile(code_pattern)
        except re.error as error:
            problem = Problem("设置 code_pattern", "不是正则表达式", f"例如 {codes.PATTERN}")
            raise Rejected("资源代码规则有误", [problem]) from error
        self._pattern = code_pattern
        self._clock = clock
        self._frequencies = search.Frequencies()

    def put_department(self, session: Session, given: Department | Mapping[str, Any]) -> Department:
        """Register a department (部门), or change it.

        Raises:
            Rejected: with everything that is wrong.
        """
        department = given if isinstance(given, Department) else read_department(given)
        before = parties.find_department(session, department.code)
        parties.put_department(session, department, self._clock())
        if before is not None and (before.name, before.short_name) != (department.name, department.short_name):
            versions.reindex(session, department.code)
        return department

    def department(self, session: Session, name: str) -> Department:
        """The department of a credit code, or else of a name or short name only one bears.

        Raises:
            UnknownEntry: there is none.
        """
        return parties.department(session, name)

    def departments(self, session: Session) -> tuple[Department, ...]:
        """All departments, by credit code."""
        return parties.departments(session)

    def department_names(self, session: Session) -> dict[str, str]:
        """What people call each department, by its credit code."""
        return parties.department_names(session)

    def put_endpoint(self, session: Session, given: EndpointSpec | Mapping[str, Any]) -> EndpointSpec:
        """Register an endpoint (端点), or change it.

        Raises:
            Rejected: with everything that is wrong.
        """
        endpoint = given if isinstance(given, EndpointSpec) else read_endpoint(given)
        return parties.put_endpoint(session, endpoint, self._clock())

    def endpoint(self, session: Session, name: str) -> EndpointSpec:
        """The endpoint of that name.

        Raises:
            UnknownEntry: there is none.
        """
        return parties.endpoint(session, name)

    def endpoints(self, session: Session, department: str | None = None) -> Sequence[EndpointSpec]:
        """All endpoints, or those of one department, by name."""
        return parties.endpoints(session, department)

    def next_code(self, session: Session, class_code: str) -> str:
        """The next free code of a class; a number once used is never given out again.

        Raises:
            Rejected: the local grammar has no such class.
        """
        last = None
        if askable(class_code, codes.LENGTH):
            last = session.scalar(select(func.max(ResourceRow.sequence)).where(ResourceRow.class_code == class_code))
        code = codes.following(class_code, last or 0)
        if codes.parse(code, self._pattern) is None:
            problem = Problem("信息资源分类", "不能由此编代码", "写到目或细目，例如 101001001")
            raise Rejected("无法取得资源代码", [problem])
        return code

    def check(self, session: Session, given: Resource | Form | Mapping[str, Any]) -> tuple[Problem, ...]:
        """Everything wrong with a registration, and what is worth a second look; changes nothing."""
        return self._checked(session, read_resource(given))

    def register(
        self,
        session: Session,
        given: Resource | Form | Mapping[str, Any],
        actor_name: str,
        actor_department: str | None = None,
        opinion: str = "",
        begun: str | None = None,
    ) -> Registered:
        """Register a resource: a new draft, a change of the open version, or the next version.

        A published version stays in force until the next one is published. The same content again
        changes nothing.

        Args:
            session: The caller's.
            given: What is registered.
            actor_name: Who registers it.
            actor_department: For which department.
            opinion: What is said about it.
            begun: Mark of the newest version one began from, empty where there was none yet; None: whatever it is.

        Raises:
            Rejected: with everything that is wrong.
            Overtaken: it does not stand any more as it did when one began.
            WrongState: its newest version is under review.
            SamePerson: the actor has approved this version.
        """
        require_person(actor_name, opinion, actor_department)
        draft = read_resource(given)
        found = self._checked(session, draft)
        if errors(found):
            raise Rejected(f"{draft.here} 登记有误，共 {len(errors(found))} 处", found)
        department = parties.department(session, draft.resource.provider_code)
        resource = draft.resource.model_copy(update={"provider": department.name, "published_on": None})
        by = versions.Hand(actor_name, actor_department, opinion, self._clock())
        row = versions.locked(session, resource.code)
        versions.expect(session, row, resource.code, begun)
        if row is None:
            entry = versions.added(session, resource, by)
            return Registered(entry=entry, action="add", changes=(), warnings=found)
        entry, action, changes = versions.changed(session, row, resource, by)
        return Registered(entry=entry, action=action, changes=changes, warnings=found)

    def move(
        self,
        session: Session,
        code: str,
        action: str,
        actor_name: str,
        actor_department: str | None = None,
        opinion: str = "",
        begun: str | None = None,
    ) -> Entry:
        """Move the newest version of a resource through the workflow; a withdrawal takes the one in force.

        Args:
            session: The caller's.
            code: Resource code.
            action: The move.
            actor_name: Who makes it.
            actor_department: For which department.
            opinion: Why.
            begun: Mark of the newest version one has seen; None: whatever it is.

        Raises:
            UnknownEntry: there is no such resource.
            Overtaken: it does not stand any more as one has seen it.
            WrongState: the action does not start from its state.
            SamePerson: the actor had another part in this version.
            Rejected: there is no such action, its opinion is missing, or the registration is no longer
                right; with everything that is wrong.
        """
        require_person(actor_name, opinion, actor_department)
        wanted = _action(action)
        if MOVES[wanted].needs_opinion and not opinion.strip():
            raise Rejected("缺少意见", [Problem("意见", f"{MOVES[wanted].label}须说明理由", "写明理由和需要改什么")])
        row = versions.locked(session, code) if askable(code, codes.LENGTH) else None
        if row is None:
            raise self._unknown(session, code)
        versions.expect(session, row, code, begun)
        number = row.in_force if wanted == "withdraw" and row.in_force is not None else row.latest
        version = versions.numbered(session, row, number)
        by = versions.Hand(actor_name, actor_department, opinion, self._clock())
        if MOVES[wanted].opens:
            standing = versions.numbered(session, row, row.in_force or number)
            return versions.opened(session, row, versions.content(standing), wanted, version, by)
        move(versions.state(version), wanted)
        if wanted in _CHECKED:
            found = self._checked(session, read_resource(versions.content(version)))
            if errors(found):
                raise Rejected(f"资源 {code} 不能{MOVES[wanted].label}，共 {len(errors(found))} 处有误", found)
        return versions.moved(session, row, version, wanted, by)

    def resource(self, session: Session, code: str, version: int | None = None, *, published: bool = False) -> Entry:
        """A resource by its code, withdrawn ones too.

        Args:
            session: The caller's.
            code: Resource code.
            version: Number of a version; None: the newest, or the one in force.
            published: Only the version in force will do.

        Raises:
            UnknownEntry: there is no such resource or version.
            WrongState: it is not published.
        """
        row = session.get(ResourceRow, code) if askable(code, codes.LENGTH) else None
        if row is None:
            raise self._unknown(session, code)
        if version is not None and not 1 <= version <= row.latest:
            raise unknown(f"资源 {code} 的版本", str(version), [str(row.latest)])
        number = version or (published and row.in_force) or row.latest
        found = versions.entry(row, versions.numbered(session, row, number))
        if published and not found.in_force:
            raise WrongState(f"资源 {code} 不在发布状态（{found.label}）", remedy="请提供方办理发布，或查找其他资源")
        return found

    def written(self, session: Session, code: str) -> str | None:
        """The version in force as it is written, None where none is; the same text is the same registration."""
        session.flush()
        found: str | None = session.connection().execute(_WRITTEN, {"code": code}).scalar()
        return found

    def resources(
        self,
        session: Session,
        *,
        provider: str | None = None,
        state: str | None = None,
        record_class: str | None = None,
        published: bool = False,
        drafts_of: str | None = None,
        after: str = "",
        most: int | None = None,
    ) -> tuple[Entry, ...]:
        """The newest version of each resource, or only the versions in force, by code.

        Args:
            session: The transaction.
            provider: Of this department alone.
            state: In this state alone.
            record_class: Of this class alone.
            published: The versions in force instead.
            drafts_of: Of other departments than this one the versions in force.
            after: With higher codes than this one alone.
            most: So many at most; None: all.
        """
        number: SQLColumnExpression[Any] = ResourceRow.in_force if published else ResourceRow.latest
        if drafts_of is not None and not published:
            own = ResourceRow.provider == _asked(drafts_of)
            number = case((own, ResourceRow.latest), else_=ResourceRow.in_force)
        statement = (
            select(ResourceRow, ResourceVersionRow)
            .join(
                ResourceVersionRow,
                (ResourceVersionRow.resource == ResourceRow.code) & (ResourceVersionRow.version == number),
            )
            .order_by(ResourceRow.code)
            .limit(most)
        )
        if after:
            statement = statement.where(ResourceRow.code > _asked(after))
        if provider is not None:
            statement = statement.where(ResourceRow.provider == _asked(provider))
        if state is not None:
            statement = statement.where(ResourceVersionRow.state == _asked(state))
        if record_class is not None:
            statement = statement.where(ResourceVersionRow.record_class == _asked(record_class))
        return tuple(versions.entry(row, version) for row, version in session.execute(statement))

    def outlines(self, session: Session, codes: Collection[str] | None = None) -> dict[tuple[str, int], Outline]:
        """What every version of every resource, or of some, is called, without its content: for lists.

        Returns:
            By code and version.
        """
        query = select(
            ResourceVersionRow.resource,
            ResourceVersionRow.version,
            ResourceVersionRow.name,
            ResourceRow.provider,
            ResourceVersionRow.update_cycle,
        ).join(ResourceRow, ResourceRow.code == ResourceVersionRow.resource)
        if codes is None:
            return {(code, version): Outline(*told) for code, version, *told in session.execute(query)}
        asked = sorted(set(codes))
        found: dict[tuple[str, int], Outline] = {}
        for start in range(0, len(asked), _PAGE):
            rows = session.execute(query.where(ResourceVersionRow.resource.in_(asked[start : start + _PAGE])))
            found |= {(code, version): Outline(*told) for code, version, *told in rows}
        return found

    def history(self, session: Session, code: str) -> tuple[Step, ...]:
        """Every move of a resource, oldest first.

        Raises:
            UnknownEntry: there is no such resource.
        """
        row = session.get(ResourceRow, code) if askable(code, codes.LENGTH) else None
        if row is None:
            raise self._unknown(session, code)
        return versions.history(session, row)

    def difference(self, old: Resource, new: Resource) -> tuple[Change, ...]:
        """What changed from one version to another, in words and in machine form."""
        return difference(old, new)

    def search(
        self,
        session: Session,
        text: str = "",
        *,
        record_class: str | None = None,
        provider: str | None = None,
        share_type: ShareType | str | None = None,
        way: ShareWay | str | None = None,
        cycle: UpdateCycle | str | None = None,
        under: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Found:
        """Find published resources: those with most hits first.

        Args:
            session: The caller's.
            text: Words of two characters and up, each of which must occur; empty: everything.
            record_class: Class of records.
            provider: Credit code of the provider.
            share_type: Sharing type, its number or its Chinese term.
            way: Sharing way.
            cycle: Update cycle.
            under: A class code; what stands in it or below it.
            limit: How many to a page, at most 200.
            cursor: Where the last page said the next one starts.

        Raises:
            Rejected: the text, a term or the cursor cannot be used.
        """
        wanted = _wanted(text, record_class, provider, share_type, way, cycle, under)
        rows, following = search.find(
            session, wanted, self._frequencies, limit=max(1, min(limit, _PAGE)), cursor=cursor
        )
        hits = tuple(Hit(entry=versions.entry(row, version), score=int(score)) for row, version, score in rows)
        return Found(hits=hits, cursor=following)

    def facets(
        self,
        session: Session,
        text: str = "",
        *,
        record_class: str | None = None,
        provider: str | None = None,
        share_type: ShareType | str | None = None,
        way: ShareWay | str | None = None,
        cycle: UpdateCycle | str | None = None,
        under: str | None = None,
        cube: Cube | None = None,
    ) -> Facets:
        """How many published resources there are of each class, provider, sharing type, way and cycle (分面计数).

        Args:
            session: The caller's.
            text: As for :meth:`search`.
            record_class: The same.
            provider: The same.
            share_type: The same.
            way: The same.
            cycle: The same.
            under: The same; without a text it does not narrow the numbers.
            cube: All resources as :meth:`cube` counted them; without it they are counted now.

        Raises:
            Rejected: the text or a term cannot be used.
        """
        wanted = _wanted(text, record_class, provider, share_type, way, cycle, under)
        if text.strip():
            return facets.sampled(session, wanted, self._frequencies)
        return (cube or facets.cube(session)).facets(wanted)

    def cube(self, session: Session, before: Cube | None = None) -> Cube:
        """All published resources, counted; the same again if none has moved since."""
        if before is not None and before.stamp == facets.stamp(session):
            return before
        return facets.cube(session)

    def responsibility_list(self, session: Session, department: str) -> ResponsibilityList:
        """What a department has to provide (责任清单): its resources, and what is asked of it.

        Raises:
            UnknownEntry: there is no such department.
        """
        found = parties.department(session, department)
        standing = {entry.code: entry for entry in self.resources(session, provider=found.code, published=True)}
        newest = self.resources(session, provider=found.code)
        return ResponsibilityList(
            department=found,
            resources=tuple(
                standing.get(entry.code, entry)
                for entry in newest
                if entry.code in standing or entry.state != "discarded"
            ),
            demands=lists.listed(session, provider=found.code, state="open"),
        )

    def put_demand(self, session: Session, given: Demand | Mapping[str, Any], actor_name: str) -> DemandEntry:
        """Enter what a department needs and does not find in the list of demand (需求清单).

        Raises:
            Rejected: with everything that is wrong.
        """
        require_person(actor_name, "")
        demand = given if isinstance(given, Demand) else read_demand(given)
        return lists.put(session, demand, actor_name, self._clock())

    def demands(
        self,
        session: Session,
        *,
        department: str | None = None,
        provider: str | None = None,
        state: DemandState | None = None,
    ) -> tuple[DemandEntry, ...]:
        """The list of demand (需求清单), oldest first."""
        return lists.listed(
            session,
            department=_asked(department),
            provider=_asked(provider),
            state=cast("DemandState | None", _asked(state)),
        )

    def answer_demand(
        self,
        session: Session,
        number: int,
        state: str,
        actor_name: str,
        *,
        resource: str | None = None,
        reason: str = "",
    ) -> DemandEntry:
        """Answer a demand: ``met`` by a published resource, or ``declined`` with a reason.

        Raises:
            UnknownEntry: there is no demand of that number.
            WrongState: it has been answered.
            Rejected: no published resource is named, or no reason given.
        """
        require_person(actor_name, reason)
        return lists.answer(
            session, number, state, resource=_asked(resource), reason=reason, actor=actor_name, at=self._clock()
        )

    def _checked(self, session: Session, draft: Draft) -> tuple[Problem, ...]:
        return problems(draft, versions.surroundings(session, draft.resource, self._pattern), pattern=self._pattern)

    def _unknown(self, session: Session, code: str) -> UnknownEntry:
        near_codes = select(ResourceRow.code).order_by(ResourceRow.code).limit(_PAGE)
        if askable(code, codes.LENGTH):
            near_codes = near_codes.where(ResourceRow.code.startswith(code[:3], autoescape=True))
        return unknown("资源", code, session.scalars(near_codes))


def _wanted(
    text: str,
    record_class: str | None,
    provider: str | None,
    share_type: ShareType | str | None,
    way: ShareWay | str | None,
    cycle: UpdateCycle | str | None,
    under: str | None,
) -> search.Wanted:
    return search.Wanted(
        text=text,
        record_class=_asked(record_class),
        provider=_asked(provider),
        share_type=_term("共享类型", "share_type", SHARE_TYPES, share_type),
        way=_term("共享方式", "share_ways", SHARE_WAYS, way),
        cycle=_term("更新周期", "update_cycle", UPDATE_CYCLES, cycle),
        under=_asked(under),
    )


def _action(word: str) -> Action:
    mine = [action for action, wanted in MOVES.items() if action not in ("add", "update") and not wanted.follows]
    by_label = {MOVES[action].label: action for action in mine}
    if word in by_label:
        return by_label[word]
    found = next((action for action in mine if action == word), None)
    if found is None:
        raise Rejected("没有这种办理动作", [Problem("办理动作", f"不认识“{word[:32]}”", near(word, mine))])
    return found


def _asked(text: str | None) -> str | None:
    """A filter as it can be looked up.

    Raises:
        Rejected: nothing can be called that.
    """
    if text is not None and not askable(text):
        raise Rejected("查找条件无法使用", [Problem("查找条件", "为空、过长或含看不见的字符", "请重新输入")])
    return text


def _term(title: str, field: str, table: Mapping[T, str], word: object) -> T | None:
    if word is None:
        return None
    try:
        return choose(field, table, word)
    except PydanticCustomError as error:
        remedy = str((error.context or {}).get("remedy", ""))
        raise Rejected("查找条件无法使用", [Problem(title, error.message(), remedy)]) from error
