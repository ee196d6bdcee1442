"""The first rows of an exchange as its grant would deliver them (脱敏预览): the way of a run, which ends at the stage.

Plan, source, batches and passage are those of a run, so that nothing else can be shown than what is delivered. What is
read is bounded, nothing is staged, noted or settled, and of refused rows nothing leaves but why they are refused.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeVar

import pyarrow as pa
from sqlalchemy.orm import Session

from adapters import DELETE, OPERATION, Endpoint, ReadAnew, Selection, Source
from catalog import Catalog
from exchange.authorisation import masks
from exchange.checks import RULES
from exchange.db import HubDatabase
from exchange.db.tables import ExchangeRow
from exchange.engine.mailbox import PUSHED
from exchange.engine.opening import binding, translated
from exchange.engine.passage import Passed
from exchange.engine.quarantine import obscured, texts
from exchange.engine.staging import Staging
from exchange.engine.subject import plan_exchange
from exchange.errors import Busy, Failed, Invalid, Problem, Unknown
from exchange.plan import End, Plan
from exchange.settings import Settings

T = TypeVar("T")
MOST = 100
"""Rows that are shown at most."""
MOST_READ = 1_000
"""Rows that are read at most, however few of them are covered by the grant."""
FINDINGS = 50
"""Findings that are told at most."""
SECONDS = 20.0
"""How long a source is waited for."""
AT_ONCE = 4
"""Sources that are waited for at once; one that never answers keeps its place until the process ends."""


@dataclass(frozen=True)
class PreviewItem:
    """An item of the grant (信息项).

    Attributes:
        mask: How the grant has it masked, in words; empty: not at all.
        obscured: It is shown masked by its grade, though it is delivered as the grant says.
    """

    name: str
    label: str
    mask: str
    obscured: bool


@dataclass(frozen=True)
class PreviewRow:
    """A row as it would be handed over.

    Attributes:
        deleted: It would be taken away from the recipient.
        values: Texts, in the order of the items; None: it is empty.
    """

    deleted: bool
    values: tuple[str | None, ...] = field(repr=False)


@dataclass(frozen=True)
class PreviewFinding:
    """What is wrong with a row that was read; never its content.

    Attributes:
        row: Its number in the order of reading, from 1.
        refused: The row would be refused; otherwise it is kept with a state.
    """

    row: int
    item: str | None
    rule: str
    title: str
    reason: str
    remedy: str
    refused: bool


@dataclass(frozen=True)
class Preview:
    """The first rows of an exchange (脱敏预览).

    Attributes:
        capture: How they were read.
        read: How many rows were read.
        filtered: How many of those are outside the grant.
        refused: How many of those would be refused.
        whole: Everything there is was read.
    """

    exchange: str
    capture: str
    items: tuple[PreviewItem, ...]
    rows: tuple[PreviewRow, ...]
    findings: tuple[PreviewFinding, ...]
    read: int
    filtered: int
    refused: int
    whole: bool


class Previews:
    """Looks at sources without delivering anything."""

    def __init__(
        self,
        settings: Settings,
        database: HubDatabase,
        catalog: Catalog,
        staging: Staging,
        endpoint: Callable[[Session, End], Endpoint],
    ) -> None:
        self._settings = settings
        self._database = database
        self._catalog = catalog
        self._staging = staging
        self._endpoint = endpoint
        self._hands = threading.BoundedSemaphore(AT_ONCE)

    def look(self, exchange: str, *, rows: int, clear: bool, seconds: float = SECONDS) -> Preview:
        """Read the first rows of a full pass and take them through checks, filter and masks.

        Args:
            exchange: Id of the exchange.
            rows: How many are shown at most.
            clear: Items of a personal grade that the grant does not mask are shown as they are delivered; otherwise
                they are masked by their grade.
            seconds: How long the source is waited for.

        Raises:
            Unknown: There is no such exchange.
            Invalid: It cannot be planned, or its source cannot be read without taking what lies there.
            Denied: Its grant does not hold now.
            Failed: The source does not answer, or not in time.
            Busy: Too many sources are waited for.
        """
        with self._database.reading() as session:
            row = session.get(ExchangeRow, exchange)
            if row is None:
                raise Unknown(f"没有交换 {exchange}", remedy="用 shutong status 查看已有的交换")
            source, target = (self._endpoint(session, End(**end)) for end in (row.source, row.target))
            able = source.capabilities, target.capabilities
            plan = plan_exchange(session, row, *able, self._settings, self._catalog, redeliver=True)
        _demand_readable(plan, source)
        wanted = max(1, min(rows, MOST))
        return self._in_time(lambda: self._read(plan, source, target, wanted, clear=clear), plan, seconds)

    def _read(self, plan: Plan, source_end: Endpoint, target_end: Endpoint, rows: int, *, clear: bool) -> Preview:
        shown: list[PreviewRow] = []
        findings: list[PreviewFinding] = []
        read = filtered = refused = 0
        whole = True
        place = f"来源端 {plan.source.endpoint}"
        hidden = _hidden(plan, clear=clear)
        bound = binding(plan.source, plan.key, plan.version, plan.items)
        with translated(place), source_end.source(bound) as source:
            passage = self._staging.passage(plan, sink=None, target=target_end)
            with closing(_batches(source, min(plan.batch_rows, MOST))) as batches:
                for batch in batches:
                    if len(shown) >= rows or read >= MOST_READ:
                        whole = False
                        break
                    part = batch.slice(0, MOST_READ - read)  # a file is read in pieces of its own size
                    passed = passage.through(part)
                    read, filtered = read + part.num_rows, filtered + passed.filtered
                    refused += passed.refused_rows
                    findings += _findings(passed)
                    fit = passed.staged.slice(0, rows - len(shown))
                    whole = fit.num_rows == passed.staged.num_rows and part.num_rows == batch.num_rows
                    shown += _rows(plan, fit, hidden)
                    if not whole:
                        break
        return Preview(
            exchange=plan.exchange,
            capture=plan.source.capture,
            items=_items(plan, hidden),
            rows=tuple(shown),
            findings=tuple(findings[:FINDINGS]),
            read=read,
            filtered=filtered,
            refused=refused,
            whole=whole,
        )

    def _in_time(self, look: Callable[[], T], plan: Plan, seconds: float) -> T:
        """Do something on a thread of its own, and wait so long for it.

        What does not answer cannot be stopped: it ends by itself, and what it found then is forgotten.
        """
        if not self._hands.acquire(blocking=False):
            raise Busy("正在预览的交换过多", remedy="稍后再试")
        found: list[T] = []
        failed: list[BaseException] = []

        def work() -> None:
            try:
                found.append(look())
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                failed.append(error)
            finally:
                self._hands.release()

        thread = threading.Thread(
            target=contextvars.copy_context().run, args=(work,), name="shutong-preview", daemon=True
        )
        thread.start()
        thread.join(seconds)
        if failed:
            raise failed[0]
        if not found:
            message = f"来源端 {plan.source.endpoint} 在 {seconds:g} 秒内没有给出数据"
            raise Failed(message, remedy="到端点页测试连通，或稍后再试", retry=True)
        return found[0]


def _demand_readable(plan: Plan, source: Endpoint) -> None:
    where = f"端点 {plan.source.endpoint}"
    if plan.source.capture == PUSHED:
        wrong = Problem(where, "由对方推送，没有可以先看的数据", "执行后看批次和隔离清单")
    elif source.capabilities.documents and any(item.document for item in plan.items):
        wrong = Problem(where, "随行附件要先收下才能核对", "执行后看批次和隔离清单")
    else:
        return
    raise Invalid(f"交换 {plan.exchange} 不能预览", [wrong])


def _batches(source: Source, rows: int) -> Generator[pa.RecordBatch]:
    """What the source hands over; leaving off ends the reading.

    Raises:
        Failed: A file of which rows were handed over already cannot be used.
    """
    reading = source.batches(Selection(batch_rows=rows))
    try:
        yield from reading
    except ReadAnew as error:
        raise Failed(error.message, remedy="稍后再试", retry=True) from error
    finally:
        if isinstance(reading, Generator):
            reading.close()


def _hidden(plan: Plan, *, clear: bool) -> frozenset[str]:
    """The delivered items that are shown masked by their grade."""
    graded = {item.name for item in plan.items if item.grade != "none"}
    masked = {name for name in plan.deliver if _mask(plan, name)}
    return frozenset() if clear else frozenset(graded.intersection(plan.deliver) - masked)


def _items(plan: Plan, hidden: frozenset[str]) -> tuple[PreviewItem, ...]:
    known = {item.name: item.label for item in plan.items}
    return tuple(PreviewItem(name, known[name], _mask(plan, name), name in hidden) for name in plan.deliver)


def _mask(plan: Plan, name: str) -> str:
    """How the grant has an item masked, in words; empty: not at all, or said to be clear."""
    mask = masks.parse(plan.masks[name]) if name in plan.masks else None
    return "" if mask is None or isinstance(mask, masks.Clear) else masks.describe(mask)


def _rows(plan: Plan, staged: pa.RecordBatch, hidden: frozenset[str]) -> list[PreviewRow]:
    known = {item.name: item for item in plan.items}
    found = []
    for number in range(staged.num_rows):
        row = staged.slice(number, 1)
        values = texts(row)
        told = [
            obscured(known[name], value) if name in hidden and (value := values[name]) is not None else values[name]
            for name in plan.deliver
        ]
        found.append(PreviewRow(row.column(OPERATION)[0].as_py() == DELETE, tuple(told)))
    return found


def _findings(passed: Passed) -> list[PreviewFinding]:
    found = []
    for told, refused in ((passed.refused, True), (passed.kept, False)):
        for each in told.select(["number", "item", "rule", "reason"]).to_pylist():
            rule = RULES[each["rule"]]
            finding = PreviewFinding(
                each["number"], each["item"], rule.code, rule.title, each["reason"], rule.remedy, refused
            )
            found.append(finding)
    return sorted(found, key=lambda each: each.row)
