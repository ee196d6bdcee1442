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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from adapters.documents import DocumentStore
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
    notes: frozenset[Capture] = frozenset()
    """The captures that write into the run's notebook what they saw."""
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
    documents: bool = False
    """Files can travel with the rows, in either direction (附件)."""
    recalls: bool = False
    """A notice that a delivery is called back can be put where its recipient finds it (撤回通知)."""


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
        documents: The items whose values are files (附件); told to sources, a sink sees it in its schema.
    """

    object: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    version: str | None = None
    capture: Capture = "snapshot"
    profile: Profile | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    documents: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class KeyRange:
    """Rows of neighbouring business keys (主键区间), by texts that are personal data like the keys themselves.

    Attributes:
        first: The lowest key in it; None: from the very first row.
        beyond: The lowest key that is not in it any more; None: to the very last row, and what comes after the rows.
    """

    first: tuple[str, ...] | None = None
    beyond: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Cut:
    """A place cut into ranges that can be read one by one, by whomever and whenever (切分).

    Attributes:
        position: Where the next window starts, read in the snapshot of the cut: whatever changes while the ranges are
            read lies behind it, and comes again.
        ranges: All of them, in the order of reading; every row lies in exactly one.
    """

    position: Position | None
    ranges: tuple[KeyRange, ...]


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
    again: frozenset[str] = frozenset()
    """Files that were refused whole, or taken, and are to be read once more, by name."""
    within: KeyRange | None = None
    """One range of a :class:`Cut`, read without a position; None: all there is."""


@dataclass(frozen=True, kw_only=True)
class TakenFile:
    """A file that a source took, or could not use (收取的文件).

    Attributes:
        name: Its name at the source.
        size: Its bytes.
        digest: SHA-256 of its content in hex; empty where it could not be read.
        rows: How many rows were handed over of it; None: it was not read to its end.
        document: It is itself what travels; otherwise it holds rows.
        reason: Why it was refused whole, in words for its provider; None: it was taken.
        reference: Its place at its source, as rows have one, to be told what became of it; empty: it is not told.
    """

    name: str
    size: int
    digest: str
    rows: int | None = None
    document: bool = False
    reason: str | None = None
    reference: str = ""


@dataclass(frozen=True, kw_only=True)
class WaitingFile:
    """A file that lies at a source and is not taken yet (待收取的文件).

    Attributes:
        name: Its name at the source.
        size: Its bytes.
        modified: Its time of change, in seconds since 1970.
        reason: Why it waits, in words.
        refused: It was refused whole, and waits for its provider or an operator.
        ready: The next pass takes it, or tries to.
    """

    name: str
    size: int
    modified: float
    reason: str
    refused: bool = False
    ready: bool = False


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
class Settled:
    """What a source may tell its provider of a run that took his rows (接收回执).

    Nothing in it speaks of a recipient.

    Attributes:
        run: Id of the run.
        receipt: Id of its receipt.
        at: When that was issued.
    """

    run: str
    receipt: str
    at: datetime


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
        schema_version: Version of the resource whose items the rows have, told where deliveries describe themselves;
            None: nobody knows.
    """

    claim: Claim
    digest: str
    rows: int
    overwrite: bool = False
    previous: str | None = None
    head: str = ""
    refresh: Refresh | None = None
    tolerable: int | None = None
    schema_version: int | None = None


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
    stamped: int | None = None
    """How many rows bear the stamp; None: those written and not taken away."""
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


@dataclass(frozen=True)
class FailedDocument:
    """A document that its recipient could not use (未能使用的附件).

    Attributes:
        name: Its name as delivered, without the folder of its delivery.
        text: The first :data:`ERROR_CHARACTERS` characters of what its recipient says.
    """

    name: str
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
        rows: The first of the failed ones, in the order of their keys. A delivery refused whole is one without a key.
        documents: Documents that were refused, by name.
        more: The recipient has said that it has the rows, and not yet what became of them: it is asked again.
        advice: What the department could do to make the question cheaper, in words.
    """

    new: int
    done: int
    failed: int | None
    other: int
    rows: tuple[FailedRow, ...] = ()
    documents: tuple[FailedDocument, ...] = ()
    more: bool = False
    advice: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecalledDocument:
    """A document that is called back; size and digest where they are known."""

    name: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recall:
    """What a recipient is asked to give up, and why (撤回通知). The same one is put in place again and again.

    Attributes:
        id: Its own id: letters, digits and hyphens.
        key: Delivery key of what is called back.
        place: What the delivery is called there, from its acknowledgement.
        subject: Name of the resource.
        documents: The documents called back, named without their folder; empty: everything of the delivery.
        whole: Everything is called back, and the documents are those that went with it.
        reason: Why, in words.
        by: Name of the department that calls it back.
        delivered: When it was delivered.
        at: When it is called back.
        until: When an answer is expected.
    """

    id: str
    key: str
    place: str
    subject: str
    documents: tuple[RecalledDocument, ...] = ()
    whole: bool = False
    reason: str
    by: str
    delivered: datetime
    at: datetime
    until: datetime


@dataclass(frozen=True, kw_only=True)
class RecallAnswer:
    """What a recipient says of a recall (撤回答复).

    Attributes:
        state: Everything is destroyed, is kept, or part of it is.
        reason: Why, in the recipient's very words.
        by: Who says so there.
    """

    state: Literal["destroyed", "kept", "partly"]
    reason: str = ""
    by: str = ""


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


@dataclass(frozen=True)
class FoundElement:
    """An element of a message found at an endpoint, with what it consists of (报文元素).

    Attributes:
        name: Its name; of an attribute behind ``@``.
        declared: What the contract calls its type; empty: it has elements.
        optional: It may be left out.
        many: It may repeat.
        elements: What it consists of, in order.
    """

    name: str
    declared: str = ""
    optional: bool = False
    many: bool = False
    elements: tuple[FoundElement, ...] = ()


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
    request: FoundElement | None = None
    """Of an operation: what is sent to it."""
    reply: FoundElement | None = None
    """Of an operation: what it answers."""


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

    def files(self) -> Iterator[TakenFile]:
        """The files of the last pass, taken and refused, once it has ended; a source without files has none."""
        return iter(())

    def waiting(self, selection: Selection) -> Iterator[WaitingFile]:
        """The files that lie there and are not taken yet, by the notes of the last pass; nothing is read or changed."""
        return iter(())

    def stirring(self) -> str:
        """A digest of what lies there, which changes when anything does that :meth:`waiting` tells; asked very often.

        Empty: this place does not tell.
        """
        return ""

    def settle(self, outcomes: Iterable[Outcome], settled: Settled | None = None) -> int:
        """Write status and error text back, only to rows whose version and state are still as read.

        Repeatable: the same outcomes again change nothing. Returns how many rows were marked now.

        Args:
            outcomes: What became of the rows.
            settled: The run, where its provider is to have a receipt of it and the place has room for one.
        """
        return 0

    def cut(self, parts: int, *, batch_rows: int) -> Cut | None:
        """Cut what a full pass reads into at most so many ranges, at ends of the batches that one pass would give.

        None: it cannot be read by ranges, or is not worth it.
        """
        return None

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

    def gather(self, parts: Sequence[tuple[Claim, int]]) -> None:
        """Stage what was staged under other claims, one after the other, as if its rows came here in this order.

        What they staged stays where it is. Repeatable after :meth:`Sink.begin`.

        Args:
            parts: The claims, and how many rows each has staged.

        Raises:
            StageLost: What one of them staged is gone; it says whose.
            Unbalanced: One of them has another number of rows.
        """
        raise Unsupported("这类端点不能合并分段暂存的行", remedy="不切分执行")

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

    def recall(self, recall: Recall) -> str:
        """Put a notice that a delivery is called back where its recipient finds it; durable, repeatable.

        Returns:
            Where it lies, as a person would look for it.

        Raises:
            Unsupported: The place has no room for one; see :attr:`Capabilities.recalls`.
        """
        raise Unsupported("这类端点放不了撤回通知", remedy="书面通知接收部门")

    def recalled(self, recall: str) -> RecallAnswer | None:
        """What the recipient says of a recall, by its id; None: nothing yet. Nothing is changed by the look."""
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
    documents: DocumentStore | None = None
    """Where the files that travel with rows lie at the hub; given by the hub after opening."""
    scratch: Path | None = None
    """Folder for what is put aside, encrypted and without a name, while it is read; given by the hub after opening."""

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

    def dataset(self, object: str) -> tuple[str, str]:
        """Which data set an object of the place is (数据集): namespace and name by OpenLineage's rules.

        Told without a secret and without going there. An empty namespace: the rules have none for places of this kind.
        """
        return "", object

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
