"""The port: what every kind of endpoint must be able to do, and no more.

An :class:`Endpoint` (端点) is a place where a department's data can be reached. It opens a
:class:`Source` to read from and a :class:`Sink` to deliver to; a sink begins a
:class:`Delivery` (交付), which is two-phase: stage…, then commit or abort, under a key.

Arrow record batches are the only currency. Batches carry the *items* of the resource under
their item names, and two reserved columns:

``_operation``  int8, not null: :data:`PUT` or :data:`DELETE`
``_reference``  string, not null: the row's place at its source, opaque to everyone but the source
                that gave it (it finds the row again in :meth:`Source.settle`)

Re-batching, counting, digesting and retrying are written once, above this port.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from adapters.errors import Unsupported
from adapters.spool import Spool
from adapters.structure import Structure
from schemas import Profile

OPERATION = "_operation"
REFERENCE = "_reference"
PUT = 0
DELETE = 1

ERROR_CHARACTERS = 1000
"""How much of a recipient's error text is read."""

Way = Literal["database", "webservice", "file"]
Capture = Literal["snapshot", "outbox", "batches", "journal", "watermark", "diff", "pushed"]
Position = Mapping[str, Any]
"""Where the next window starts: JSON values, meaningful to the source that gave it."""


@dataclass(frozen=True)
class Capabilities:
    """What an endpoint can do, as data: planning refuses what is not here before anything moves."""

    way: Way
    captures: frozenset[Capture] = frozenset()
    """How it can be read; empty: it cannot be a source."""
    delivers: bool = False
    """It can be a sink."""
    transactional: bool = False
    """Ledger row and rows become visible together or not at all."""
    merges: bool = False
    """It compares business key and version with what is already there. Otherwise each delivery is a
    file of changes, and every staged row counts as written."""
    settles: bool = False
    """Outcomes can be written back to the rows they concern."""
    answers: bool = False
    """It can say what its recipient's own system made of delivered rows, where the table keeps that."""
    refreshes: bool = False
    """A delivery can replace everything that lies there."""
    looks_up: bool = False
    """The rows of single keys can be asked for, as they are now (单笔查询)."""


@dataclass(frozen=True, kw_only=True)
class Binding:
    """Where and how one resource lies at one endpoint (资源挂接).

    Attributes:
        object: Table, operation or file name pattern.
        columns: Item name to the name used there (column, element or header).
        key: Items that identify a row (业务主键), in order.
        version: Item whose higher value wins, or None: the last read wins.
        capture: How changes are read; meaningless for a sink.
        profile: The state columns of a front-end table family, if it belongs to one.
        fixed: Names used there with a constant value: a source reads only rows that carry it, a sink
            writes it and counts it as part of the key.
        options: What only this kind of endpoint understands; unknown ones are refused by the kind.
    """

    object: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    version: str | None = None
    capture: Capture = "snapshot"
    profile: Profile | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


class Notebook(ABC):
    """What a source writes down in one pass and finds again in the next (读取记录).

    For a capture that must remember more than a position. The notes of a pass become the earlier ones
    when what was read in it is delivered, and not before; until then the old ones stay in force.
    """

    @abstractmethod
    def earlier(self) -> Iterator[bytes]:
        """The pages of the last delivered pass, in the order in which they were written; may be asked again."""

    @abstractmethod
    def write(self, page: bytes) -> None:
        """Write a page of this pass."""

    @abstractmethod
    def keep(self) -> None:
        """Nothing was written, since nothing is different: the earlier pages are those of this pass too."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What to read: everything after a position, in batches of at most so many rows.

    Without a position it is a full pass: it compares with nothing and hands over everything, and beside it
    the deletion of every key that the notebook knows and that is gone.
    """

    after: Position | None = None
    batch_rows: int = 16_384
    notebook: Notebook | None = None
    """For the captures that need one; None: nothing is remembered, and every pass is a full one."""


@dataclass(frozen=True)
class Outcome:
    """What became of one row, told to its source.

    ``reason`` is None when the row was accepted, else a sentence for the provider's clerk. ``corrected``: the
    source was told of a refusal before, so that the row may bear that instead of the state it was read in.
    """

    reference: str
    reason: str | None = None
    corrected: bool = False


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Who delivers: the delivery key, the exchange it belongs to and the owner's epoch (租约纪元)."""

    key: str
    exchange: str
    epoch: int


@dataclass(frozen=True, kw_only=True)
class Refresh:
    """The delivery is everything there is: what is not in it goes (全量刷新).

    Attributes:
        may_fall: By which share of what the target holds the number of its rows may fall.
        accepted: So few rows may be left this once; None: nobody has accepted a fall. A target that holds rows is
            never emptied without it, whatever the share.
    """

    may_fall: float
    accepted: int | None = None


@dataclass(frozen=True)
class Refreshing:
    """How everything that lies at a target is, or was, replaced (刷新方式), and in words why so.

    ``swap`` puts a new table in the place of the old one, ``reload`` changes the rows of the table that is there.
    """

    how: Literal["swap", "reload"]
    why: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What was staged, durable at the hub before it is committed at the target.

    Attributes:
        claim: The claim under which the commit is made; its epoch may be higher than the one staged
            under, after a takeover.
        digest: Hex digest of the hub's durable manifest; the ledger row carries it.
        rows: How many rows were staged.
        overwrite: A row of the same version with other content replaces what is there, instead of
            being refused as a conflict: the shape of the grant changed, or no version exists.
        previous: Delivery key of the exchange's previous delivery here, None for the first.
        head: Head of the audit chain, copied into the ledger row.
        refresh: The rows staged are all that is to be there; None: they are merged into what is there.
        tolerable: How many of the rows the target may refuse before it takes none of them; None: any number.
    """

    claim: Claim
    digest: str
    rows: int
    overwrite: bool = False
    previous: str | None = None
    head: str = ""
    refresh: Refresh | None = None
    tolerable: int | None = None


@dataclass(frozen=True)
class RefusedRow:
    """A staged row the target refused: its number in the order of staging, the rule, in words why."""

    row: int
    rule: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    """The target's answer to a commit; the same key always gets the same answer.

    ``written`` counts rows inserted, replaced and removed; ``deleted`` says how many of them were
    removed, and ``gone`` how many of those were not staged at all, but missing from a refresh.
    ``written + unchanged + superseded + len(refused)`` is the number of rows staged, and of those gone.
    """

    key: str
    manifest: str
    written: int
    deleted: int = 0
    unchanged: int = 0
    superseded: int = 0
    refused: tuple[RefusedRow, ...] = ()
    at: datetime
    place: str = ""
    """What a person would look for: table, file name."""
    head: str = ""
    """Head of the audit chain that the commit brought, as kept here; empty if the place keeps none."""
    stamp: str = ""
    """What every row that the delivery wrote bears until a later one writes it, see :meth:`Sink.answers`; empty:
    the place keeps no such mark, or no state beside it, and cannot be asked."""
    gone: int = 0
    refreshing: Refreshing | None = None
    """How a refresh was carried out; None: it was a merge."""


@dataclass(frozen=True)
class FailedRow:
    """A delivered row that its recipient's own system could not use (处理失败的行).

    Attributes:
        key: Its business key, as texts.
        text: The first :data:`ERROR_CHARACTERS` characters of what that system says, in its very words: written by
            strangers, and personal data, as the key is.
    """

    key: tuple[str | None, ...]
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What became of the rows that bear a stamp, at this moment (接收方处理结果).

    Attributes:
        new: Rows nobody has read.
        done: Rows that were read and used.
        failed: Rows that were read and could not be used; None: the place does not tell them from the others, and
            ``done`` counts both.
        other: Rows whose state means nothing to the hub.
        rows: The first of the failed ones, in the order of their keys.
        advice: What the department could do to make the question cheaper, in words.
    """

    new: int
    done: int
    failed: int | None
    other: int
    rows: tuple[FailedRow, ...] = ()
    advice: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probe:
    """One answer of an endpoint test: what was tried, did it work, and what to do if not."""

    name: str
    passed: bool
    detail: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class FoundColumn:
    """A column, element or header found at an endpoint; ``type`` is a letter of the item types (§2.4)."""

    name: str
    type: str
    length: int | None = None
    scale: int | None = None
    nullable: bool = True
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """How an object could be read, and why (读取方式建议): what to write into the offer."""

    capture: Capture
    profile: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundObject:
    """A table, operation or file found at an endpoint."""

    name: str
    columns: tuple[FoundColumn, ...] = ()
    key: tuple[str, ...] = ()
    label: str = ""
    proposals: tuple[Proposal, ...] = ()
    """How it could be read, the best first; empty where nobody looked."""


class Options(BaseModel):
    """Options of an endpoint kind: read by name, unknown ones refused, secrets typed as SecretStr."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(ABC):
    """A resource as it can be read at an endpoint."""

    @abstractmethod
    def schema(self) -> pa.Schema:
        """The bound items in order, as the place itself types them, then the two reserved columns.

        A place that cannot vouch for its types (SQLite, CSV, SOAP) says string, so that what does
        not parse becomes a refused row with its text, never a null.
        """

    @abstractmethod
    def batches(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """Read everything the selection covers, in one consistent snapshot where the place has one."""

    @abstractmethod
    def position(self) -> Position | None:
        """Where the next window starts, read in the snapshot of :meth:`batches`; None: no window."""

    def settle(self, outcomes: Iterable[Outcome]) -> int:
        """Write status and error text back, only to rows whose version and state are still as read.

        Repeatable: the same outcomes again change nothing. Returns how many rows were marked now.
        """
        return 0

    def buried(self, keys: pa.RecordBatch) -> pa.BooleanArray:
        """For each business key, whether the place keeps a tombstone of it: a delivery took its row away."""
        return pa.array([False] * keys.num_rows, pa.bool_())

    def lookup(self, keys: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of business keys as they are now, with the columns of :meth:`batches` (单笔查询).

        May be asked again and again of one source, which keeps its connection for that until it is closed.

        Args:
            keys: The items of the key, typed.

        Raises:
            Unsupported: the place cannot be asked so; see :attr:`Capabilities.looks_up`.
        """
        raise Unsupported("这类端点不能按业务主键查询单行", remedy="改用整批读取")

    def close(self) -> None:
        """Let go of connections and files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Delivery(ABC):
    """One delivery in the making at a sink."""

    @abstractmethod
    def stage(self, batch: pa.RecordBatch) -> None:
        """Put a batch (items and ``_operation``) beside the target, invisible to its readers.

        Raises:
            StageLost: what was staged is gone: begin again and stage everything anew.
        """

    @abstractmethod
    def commit(self, manifest: Manifest) -> Acknowledgement:
        """Make what is staged visible, once. The same key again: the same answer, no second copy.

        Raises:
            Overtaken: the target has seen a higher epoch of the exchange.
            Restored: the ledger row of ``manifest.previous`` is gone.
            TooManyRefused: the target refuses more rows than ``manifest.tolerable``; it names them.
            Unbalanced: the stage does not hold ``manifest.rows`` rows, or the counts do not add up.
            StageLost: nothing is staged any more; nothing was committed under the key.
            Diminished: a refresh would leave too few rows; nothing was changed.
        """

    @abstractmethod
    def abort(self) -> None:
        """Remove what is staged. After a commit it only tidies up. Repeatable."""

    def close(self) -> None:
        """Let go of connections. A stage that lives in one of them goes with it; commit then says StageLost."""


class Sink(ABC):
    """A place at an endpoint that rows of one resource are delivered to."""

    @abstractmethod
    def begin(self, claim: Claim, schema: pa.Schema) -> Delivery:
        """Start staging from nothing; what the same key staged under lower epochs is removed."""

    def direct(self, claim: Claim, schema: pa.Schema, *, empty: bool = False) -> Delivery | None:
        """Start delivering many rows, with a transaction for a stage; into an ``empty`` place only, if that is asked.

        Rows that are new to the place are in it when they are staged, seen by nobody before the commit, and gone with
        the connection: whoever takes over begins anew. None: this place needs a stage.
        """
        return None

    @abstractmethod
    def resume(self, claim: Claim, schema: pa.Schema) -> Delivery:
        """Take up the delivery staged under this very claim, to commit or abort it."""

    @abstractmethod
    def settled(self, key: str) -> Acknowledgement | None:
        """The acknowledgement kept here for a key, or None: nothing was committed under it."""

    def epoch(self, exchange: str) -> int:
        """The highest epoch seen here for an exchange, 0 if none."""
        return 0

    def holds(self, keys: pa.RecordBatch) -> pa.BooleanArray:
        """For each business key, whether a row of it is here now. Without a merge: never."""
        return pa.array([False] * keys.num_rows, pa.bool_())

    def answers(self, stamp: str, *, rows: int) -> Answers | None:
        """What the recipient's own system made of the rows that bear the stamp of a delivery; None: it is not known.

        A row belongs to the delivery that wrote it last. Nothing is changed by the look.

        Args:
            stamp: That of an acknowledgement, not empty.
            rows: How many failed rows to tell of at most.
        """
        return None

    def close(self) -> None:
        """Let go of connections and files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Endpoint(ABC):
    """A place where a department's data can be reached, of one kind."""

    kind: ClassVar[str]
    options_type: ClassVar[type[Options]]
    spool: Spool | None = None
    """Where a sink keeps what its target has no place for; given by the hub after opening."""

    @abstractmethod
    def __init__(self, options: Any, *, zone: str = "Asia/Shanghai") -> None:
        """Open nothing yet. ``zone`` is the zone of the place's zone-less times."""

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What can be planned with it."""

    def identity(self) -> str:
        """Which place it is, without a secret: two endpoints with one answer are one place, whatever they are called.

        Told without going there. Empty: it cannot be told.
        """
        return ""

    def object_identity(self, name: str) -> str:
        """Which object of the place a name stands for: two names with one answer are one object."""
        return name

    @abstractmethod
    def test(self) -> list[Probe]:
        """Try what a run will need, and say in words what does not work and what to do."""

    @abstractmethod
    def inspect(self, object: str | None = None) -> list[FoundObject]:
        """What lies there; with a name, that object alone with its columns."""

    def structure(self, object: str) -> Structure | None:
        """The structure of an object, which may be that it is not there; None: places of this kind do not tell any."""
        return None

    def refreshing(self, binding: Binding) -> Refreshing | None:
        """How a refresh of the bound object would be carried out now; None: places of this kind do not refresh."""
        return None

    def prepare(self, binding: Binding, schema: pa.Schema) -> str:
        """The script the department's administrator runs before the first delivery; empty: none."""
        return ""

    def install(self, binding: Binding, schema: pa.Schema) -> list[str]:
        """Carry out what :meth:`prepare` prints, at a place that belongs to the hub itself. Repeatable.

        What lies there already is made to fit where that loses nothing.

        Returns:
            Everything that could not be made to fit, in words; then nothing at all was changed.

        Raises:
            Unsupported: nothing can be prepared here.
        """
        raise Unsupported(f"{self.kind} 类端点不能由平台建表", remedy="基础库应登记为 database 类端点")

    def check(self, binding: Binding, schema: pa.Schema, *, sink: bool) -> list[str]:
        """Everything about the binding that does not fit what lies there, in words; empty: it fits."""
        return []

    def advise(self, binding: Binding) -> list[str]:
        """What is worth knowing about a binding that is read and fits, in words."""
        return []

    @abstractmethod
    def source(self, binding: Binding) -> Source:
        """Open the bound object for reading."""

    @abstractmethod
    def sink(self, binding: Binding) -> Sink:
        """Open the bound object for delivery."""
