"""Whether the log is as it was written (日志核验), and where it is not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from exchange.audit.chain import FIRST, Chain, Stored, Unreadable, stored
from exchange.audit.events import LogRestored
from exchange.audit.heads import NAME, Head, Line
from exchange.db.tables import EventRow

Kind = Literal["edited", "removed", "inserted", "reordered", "cut", "rewritten", "heads"]

_SAYS: dict[Kind, str] = {
    "edited": "内容与写入时不符",
    "removed": "已被删除",
    "inserted": "不是平台写入的",
    "reordered": "不在封存时的位置，或其前面的事件被替换",
    "cut": "日志末尾被截断",
    "rewritten": "与别处留存的链头不符，此处及以后的日志被替换",
    "heads": "链头文件此行被改动，或前面有行被删除",
}
_SHOWN = 3


@dataclass(frozen=True)
class Fault:
    """A place where the log is not as it was written.

    Attributes:
        kind: What was done there.
        place: Where, in words.
        message: What it looks like.
        first: Number of the first event concerned, None for an unsealed event and for the file of heads.
        last: Number of the last event concerned.
    """

    kind: Kind
    place: str
    message: str
    first: int | None = None
    last: int | None = None

    def __str__(self) -> str:
        return f"{self.place}：{self.message}"


@dataclass(frozen=True)
class Verification:
    """What a verification found.

    Attributes:
        events: How many events the log holds.
        sealed: How many of them are sealed.
        unsealed: How many still wait for the sealer.
        verified: Whether there is no fault.
        faults: Every place where the log is not as it was written.
        warnings: What an auditor should know and what is no fault by itself.
    """

    events: int
    sealed: int
    unsealed: int
    verified: bool
    faults: tuple[Fault, ...]
    warnings: tuple[str, ...]


class _Walk:
    """Goes along the chain and notes what does not fit.

    Args:
        chain: Recomputes tags and seals.
        wanted: Numbers whose seals are to be compared with heads known from elsewhere.
    """

    def __init__(self, chain: Chain, wanted: set[int]) -> None:
        self._chain = chain
        self._wanted = wanted
        self._previous: str | None = FIRST
        """Seal of the event before; None where that is missing."""
        self._doubtful: int | None = None
        """An event with a wrong tag, until it is known whether its seal is in its place."""
        self.sealed = 0
        self.last = 0
        self.spans: list[tuple[Kind, int, int]] = []
        self.faults: list[Fault] = []
        self.seals: dict[int, str] = {}
        self.restored: list[tuple[int, int]] = []
        self.noted_from: set[int] = set()

    def take(self, event: Stored | Unreadable) -> None:
        """Go one event further."""
        self.sealed += 1
        number = event.number
        if number is None or number <= self.last:
            self.faults.append(Fault("inserted", f"记录 {event.id}（编号重复或无法读取）", _SAYS["inserted"]))
            return
        if number > self.last + 1:
            self._settle(placed=False)
            self.spans.append(("removed", self.last + 1, number - 1))
            self._previous = None
        if isinstance(event, Unreadable) or event.seal is None:
            self._settle(placed=False)
            self.spans.append(("edited", number, number))
            self._previous = None
        else:
            self._check(event, number, event.seal)
        self.last = number

    def _check(self, event: Stored, number: int, seal: str) -> None:
        placed = self._previous is None or self._chain.is_sealed(self._previous, event)
        self._settle(placed=placed and self._previous is not None)
        if not self._chain.is_tagged(event):
            self._doubtful = number
        elif not placed:
            self.spans.append(("reordered", number, number))
        elif event.type == LogRestored.__name__:
            self.restored.append((event.body["kept"], event.body["lost"]))
            self.noted_from.add(event.body["noted_from"])
        if number in self._wanted:
            self.seals[number] = seal
        self._previous = seal

    def _settle(self, *, placed: bool) -> None:
        """The next event fits the seal of a doubtful one only if that stood there when it was sealed."""
        if self._doubtful is not None:
            self.spans.append(("edited" if placed else "inserted", self._doubtful, self._doubtful))
            self._doubtful = None

    def end(self, known: set[Head]) -> None:
        """Settle the last event by the heads known from elsewhere."""
        if self._doubtful is not None:
            head = Head(self._doubtful, self.seals.get(self._doubtful, ""))
            self._settle(placed=head in known)


def verify(
    session: Session, chain: Chain, lines: Iterable[Line], witnesses: Iterable[tuple[str, Head]]
) -> Verification:
    """Recompute the whole log and compare it with every head known from elsewhere.

    Args:
        session: Sees one state of the database, no older than the lines and the witnesses.
        chain: Recomputes tags and seals.
        lines: The file of heads, read before the session began.
        witnesses: Heads found elsewhere, with where.
    """
    lines = list(lines)
    faults, warnings, known = _noted(lines)
    noted = max((head.number for _, head in known), default=0)
    known += [(where, head) for where, head in witnesses if head.number > 0]
    walk = _Walk(chain, {head.number for _, head in known})
    for event in stored(session, EventRow.number.is_not(None), order=EventRow.number.asc()):
        walk.take(event)
    walk.end({head for _, head in known})
    unsealed = 0
    for event in stored(session, EventRow.number.is_(None), order=EventRow.id.asc()):
        unsealed += 1
        if isinstance(event, Unreadable) or event.seal is not None or not chain.is_tagged(event):
            faults.append(Fault("inserted", f"未封存的记录 {event.id}", "不是平台写入的，或写入后被改动"))
    spans = _merged(walk.spans)
    faults += walk.faults
    faults += [Fault(kind, _place(first, last), _SAYS[kind], first, last) for kind, first, last in spans]
    _compare(known, walk, spans, faults, warnings)
    _begun(lines, max([walk.last, *(head.number for _, head in known)]), walk, faults, warnings)
    if lines and noted < walk.last:
        warnings.append(f"{NAME} 只记到第 {noted} 号，日志到第 {walk.last} 号：文件被截断，或刚封存尚未记入")
    return Verification(
        events=walk.sealed + unsealed,
        sealed=walk.sealed,
        unsealed=unsealed,
        verified=not faults,
        faults=tuple(faults),
        warnings=tuple(warnings),
    )


def _noted(lines: Iterable[Line]) -> tuple[list[Fault], list[str], list[tuple[str, Head]]]:
    """What the file of heads says: faults, warnings, heads."""
    faults: list[Fault] = []
    warnings: list[str] = []
    heads: list[tuple[str, Head]] = []
    for line in lines:
        place = f"{NAME} 第 {line.place} 行"
        if line.head is None:
            warnings.append(f"{place}残缺，可能是写入时断电")
        elif not line.genuine:
            faults.append(Fault("heads", place, _SAYS["heads"]))
        elif line.head.number:
            heads.append((place, line.head))
    return faults, warnings, heads


def _begun(lines: list[Line], last: int, walk: _Walk, faults: list[Fault], warnings: list[str]) -> None:
    """The file of heads is there once anything was sealed, and begins before the first sealing."""
    readable = [line for line in lines if line.head is not None]
    if not readable:
        if last:
            faults.append(Fault("heads", NAME, f"文件缺失或被清空，而已知封存到第 {last} 号事件"))
        return
    place, head = f"{NAME} 第 {readable[0].place} 行", readable[0].head
    if head is None or not readable[0].genuine or not head.number:
        return
    if head.number in walk.noted_from:
        warnings.append(f"{place}起重新记录（自第 {head.number} 号），此前的随恢复备份而失，日志中有恢复记录")
    else:
        faults.append(Fault("heads", place, f"自第 {head.number} 号才记起，不是从第一次封存：文件被删除或替换过"))


def _compare(
    known: list[tuple[str, Head]],
    walk: _Walk,
    spans: list[tuple[Kind, int, int]],
    faults: list[Fault],
    warnings: list[str],
) -> None:
    """Note heads known from elsewhere that are not in the log."""
    missing: dict[Kind, list[tuple[int, str]]] = {"cut": [], "rewritten": []}
    for where, head in known:
        number = head.number
        if walk.seals.get(number) == head.seal or any(first <= number <= last for _, first, last in spans):
            continue
        if any(kept < number <= lost for kept, lost in walk.restored):
            warnings.append(f"{where}的链头（第 {number} 号）随恢复备份而失，日志中有恢复记录")
        else:
            missing["cut" if number > walk.last else "rewritten"].append((number, where))
    for kind, found in missing.items():
        if found:
            numbers = [number for number, _ in found]
            first, last = (walk.last + 1 if kind == "cut" else min(numbers)), max(numbers)
            sources = "、".join(dict.fromkeys(where for _, where in found[-_SHOWN:]))
            faults.append(Fault(kind, _place(first, last), f"{_SAYS[kind]}（据{sources}）", first, last))


def _merged(spans: list[tuple[Kind, int, int]]) -> list[tuple[Kind, int, int]]:
    """One span for neighbouring events to which the same was done."""
    merged: list[tuple[Kind, int, int]] = []
    for kind, first, last in sorted(spans, key=lambda span: span[1]):
        if merged and merged[-1][0] == kind and merged[-1][2] + 1 == first:
            merged[-1] = (kind, merged[-1][1], last)
        else:
            merged.append((kind, first, last))
    return merged


def _place(first: int, last: int) -> str:
    return f"第 {first} 号事件" if first == last else f"第 {first} 至 {last} 号事件"
