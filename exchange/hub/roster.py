"""What is to be scheduled (排班表): the directory's standing exchanges as a scheduler sees them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import Department, EndpointSpec, Outline
from catalog.vocabulary import UPDATE_CYCLES
from exchange.authorisation import GRANT_STATES
from exchange.db.tables import ExchangeRow, GrantRow, PauseRow
from exchange.engine import DROP, MAILBOX, PUSHED
from exchange.errors import Invalid
from exchange.hub.rhythm import rhythm_of
from exchange.plan import LIBRARY
from exchange.snapshot import Pool, Scheduled, Snapshot

if TYPE_CHECKING:
    from exchange.hub.core import Hub

ZONE = ZoneInfo("Asia/Shanghai")
"""Where clocks are read by people (北京时间)."""

CYCLES: dict[str, timedelta] = {
    "realtime": timedelta(minutes=5),
    "daily": timedelta(days=1),
    "weekly": timedelta(days=7),
    "ten_days": timedelta(days=10),
    "monthly": timedelta(days=31),
    "quarterly": timedelta(days=92),
    "yearly": timedelta(days=366),
}
"""How long after a run the next one is due, by the resource's update cycle (更新周期)."""

_NIGHT = 5 * 60
"""Minutes from one to six o'clock, when departments' machines are idle."""
_NIGHTLY: Mapping[str, Callable[[int], str]] = {
    "daily": lambda _: "* * *",
    "weekly": lambda n: f"* * {n % 7}",
    "ten_days": lambda n: f"{n % 8 + 1},{n % 8 + 11},{n % 8 + 21} * *",
    "monthly": lambda n: f"{n % 28 + 1} * *",
    "quarterly": lambda n: f"{n % 28 + 1} 1,4,7,10 *",
    "yearly": lambda n: f"{n % 28 + 1} 1 *",
}
"""Days of a cycle, by a number that is the exchange's own."""
_KINDS = {"synchronisation": "归集", "sharing": "共享"}
_WAYS = {"database": "数据库", "webservice": "服务接口", "file": "文件"}
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~!])")


def spread(cycle: str, name: str) -> str:
    """When an exchange runs by an update cycle: always the same for one of that name, others at other times."""
    digest = hashlib.sha256(name.encode()).digest()
    first, second = int.from_bytes(digest[:4]), int.from_bytes(digest[4:8])
    if cycle == "realtime":
        return f"{first % 5}-59/5 * * * *"
    hour, minute = divmod(first % _NIGHT, 60)
    days = _NIGHTLY.get(cycle, _NIGHTLY["daily"])
    return f"{minute} {hour + 1} {days(second)}"


@dataclass(frozen=True)
class _Known:
    """What the exchanges of one look have in common."""

    departments: Mapping[str, Department]
    endpoints: Mapping[str, EndpointSpec]
    outlines: Mapping[tuple[str, int], Outline]

    def called(self, code: str) -> str:
        """A department, as people call it."""
        found = self.departments.get(code)
        return code if found is None else found.short_name or found.name


def roster(hub: Hub, session: Session) -> Snapshot:
    """Everything that is to be scheduled, as one state of the directory has it."""
    known = _Known(
        {each.code: each for each in hub.catalog.departments(session)},
        {each.name: each for each in hub.catalog.endpoints(session)},
        hub.catalog.outlines(session),
    )
    scheduled, broken = [], {}
    rows = session.execute(
        select(ExchangeRow, GrantRow)
        .join(GrantRow, GrantRow.id == ExchangeRow.grant)
        .where(ExchangeRow.state != "ended", GrantRow.state.in_(("active", "suspended")))
        .order_by(ExchangeRow.id)
    )
    for row, grant in rows:
        try:
            scheduled.append(_scheduled(row, grant, known))
        except Invalid as error:
            broken[row.id] = error.message
        except (KeyError, TypeError, ValueError) as error:
            # Somebody has written into the hub's tables; the others live on.
            broken[row.id] = f"交换 {row.id} 的登记不完整（{type(error).__name__}）"
    asleep = set(session.scalars(select(PauseRow.name).where(PauseRow.kind == "endpoint")))
    set_slots = hub.settings.airflow
    pools = tuple(
        Pool(name, 0 if name in asleep else set_slots.pools.get(name, set_slots.slots), _owner(spec, known))
        for name, spec in known.endpoints.items()
        if name != LIBRARY
    )
    return Snapshot(_batched(scheduled, set_slots.dags), pools, broken)


def _batched(scheduled: Sequence[Scheduled], most: int) -> tuple[Scheduled, ...]:
    """The same, those beyond what a scheduler bears to be carried out with others.

    Who has parts, arrivals or several resources keeps his DAG, and so do the oldest: a new exchange changes nobody's.
    """
    if len(scheduled) <= most:
        return tuple(scheduled)
    plain = [each for each in scheduled if each.arrivals is None and each.parts == 1 and not each.all_of]
    room = max(0, most - (len(scheduled) - len(plain)))
    rest = {each.id for each in sorted(plain, key=lambda each: (each.activated_at, each.id))[room:]}
    return tuple(replace(each, batched=True) if each.id in rest else each for each in scheduled)


def _owner(spec: EndpointSpec, known: _Known) -> str:
    return f"{known.called(spec.department)}的端点（{spec.kind}）"


def _scheduled(row: ExchangeRow, grant: GrantRow, known: _Known) -> Scheduled:
    outline = known.outlines[row.resource, grant.resource_version]
    source, target = row.source["endpoint"], row.target["endpoint"]
    for name in (source, target):
        if name not in known.endpoints:
            raise Invalid(f"交换 {row.id} 的端点 {name} 没有登记")
    rhythm = rhythm_of(row.id, row.settings)
    collects, kept = row.kind == "synchronisation", source == LIBRARY
    pushed = row.source["capture"] == PUSHED
    boxed = known.endpoints[target].kind == MAILBOX
    # Where a drop is read whole each time, nobody knows which of its files are new.
    dropped = known.endpoints[source].kind == DROP and row.source["capture"] != "snapshot"
    arrivals = "messages" if pushed else "files" if dropped else None
    by_cycle = not (pushed or boxed or kept)
    provider, recipient = known.called(row.provider), known.called(row.recipient)
    title = f"归集 {provider}《{outline.name}》" if collects else f"共享 {provider}《{outline.name}》给 {recipient}"
    return Scheduled(
        id=row.id,
        kind=row.kind,  # type: ignore[arg-type]  # two kinds there are
        title=_line(title),
        description=_description(row, grant, outline, known),
        owner=provider if collects else recipient,
        tags=tuple(dict.fromkeys((_KINDS[row.kind], row.resource, provider, recipient))),
        cron=rhythm.schedule or (spread(outline.update_cycle, row.id) if by_cycle else None),
        activated_at=row.created_at.astimezone(ZONE).isoformat(timespec="seconds"),
        # What is delivered into a box is fetched from the library when its owner asks for it.
        reads=tuple(dict.fromkeys((row.resource, *rhythm.all_of))) if kept and not boxed else (),
        all_of=bool(rhythm.all_of) and kept and not boxed,
        refreshes=(row.resource,) if collects else (),
        arrivals=arrivals,  # type: ignore[arg-type]
        pool=target if kept else source,
        priority=rhythm.priority,
        parts=rhythm.parts,
        timeout_minutes=rhythm.timeout_minutes,
        paused=True if row.state == "paused" or grant.state == "suspended" else None,
    )


def _description(row: ExchangeRow, grant: GrantRow, outline: Outline, known: _Known) -> str:
    provider, recipient = known.called(row.provider), known.called(row.recipient)
    purpose: Mapping[str, Any] = grant.body.get("purpose") or {}
    source, target = row.source, row.target
    facts = (
        ("资源", f"{outline.name}（{row.resource} 第 {grant.resource_version} 版）"),
        ("更新周期", UPDATE_CYCLES.get(outline.update_cycle, outline.update_cycle)),  # type: ignore[call-overload]
        ("提供部门", provider),
        ("使用部门", recipient),
        ("授权", f"{grant.id}（{GRANT_STATES[grant.state]}，{_until(grant)}）"),
        ("方式", _WAYS.get(str(grant.body.get("way")), str(grant.body.get("way") or ""))),
        ("依据", purpose.get("basis")),
        ("用途", purpose.get("scene")),
        ("范围", purpose.get("scope")),
        ("来源", f"{source['endpoint']} › {source['object']}"),
        ("目标", f"{target['endpoint']} › {target['object']}"),
    )
    does = "归集到基础库" if row.kind == "synchronisation" else f"共享给 {_plain(recipient)}"
    lines = [f"把 {_plain(provider)} 的《{_plain(outline.name)}》{does}。", ""]
    return "\n".join([*lines, *(f"- {word}：{_plain(str(text))}" for word, text in facts if text)])


def _until(grant: GrantRow) -> str:
    return "长期" if grant.valid_until is None else f"至 {grant.valid_until.astimezone(ZONE):%Y-%m-%d}"


def _line(text: str) -> str:
    return " ".join(text.split())


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    """Somebody's words as Markdown shows them, and nothing else."""
    return _SPECIAL.sub(r"\\\1", _line(text))
