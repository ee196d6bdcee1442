"""A department's box at the hub (信箱): for departments whose own programme calls, and which have no place to reach.

What
    What is delivered to it lies at the hub as letters (信件) until the programme fetches it, page after page; what
    it pushes lies there as messages (消息) until the exchange of the resource has carried them out.
Endpoint
    ``mailbox``, without options: the hub itself is the place. Whoever opens it hands it the hub's
    :class:`Post`; without one it can be registered and looked at, and nothing moves.
Capabilities
    Read by ``pushed``: the one message that the option ``message`` of the binding names, as texts. Delivers
    transactionally: one row of the post's books is the commit. It compares nothing: a letter is a list of changes.
Failure
    As the port says; what the hub's own disk or database refuses, the post raises as the hub's.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, ClassVar, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from adapters.base import (
    DELETE,
    OPERATION,
    REFERENCE,
    Acknowledgement,
    Binding,
    Capabilities,
    Claim,
    Delivery,
    Endpoint,
    FoundColumn,
    FoundObject,
    Manifest,
    Options,
    Position,
    Probe,
    Selection,
    Sink,
    Source,
)
from adapters.errors import Malformed, Misconfigured, Overtaken, StageLost, Unbalanced, Unsupported

PART_ROWS = 16_384
"""Rows of a letter that lie in one file: what a page may read and not use."""
MESSAGE = "message"
"""Option of a binding that names the message to read."""

_CAPABILITIES = Capabilities(
    way="webservice",
    captures=frozenset({"pushed"}),
    delivers=True,
    transactional=True,
)
_RESERVED = (pa.field(OPERATION, pa.int8(), nullable=False), pa.field(REFERENCE, pa.string(), nullable=False))


class Chunks(Protocol):
    """A file being written."""

    def append(self, chunk: bytes) -> None:
        """Add a chunk."""


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A delivery in the box (信件), as the books have it.

    Attributes:
        object: What it was addressed to.
        manifest: Digest of the hub's manifest.
        head: Head of the audit chain that the commit brought.
        epoch: Of the owner who committed.
        staged: Epoch under which its files were staged.
        parts: Rows of each of its files, in order.
    """

    key: str
    exchange: str
    object: str
    manifest: str
    head: str
    epoch: int
    staged: int
    parts: tuple[int, ...]
    deleted: int
    at: datetime

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(self.parts)

    def part(self, number: int) -> str:
        """Name of the file of a part, from 1."""
        return _part(self.key, self.staged, number)


class Post(ABC):
    """The hub's keeping of one box (收发): files that appear whole or not at all, and the books."""

    @abstractmethod
    def write(self, name: str) -> AbstractContextManager[Chunks]:
        """Begin a file; at the end of the block it is durable under its name."""

    @abstractmethod
    def read(self, name: str) -> Iterator[bytes]:
        """The chunks of a file."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""

    @abstractmethod
    def names(self, prefix: str) -> Sequence[str]:
        """Names of the files that begin so."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a file. Repeatable."""

    @abstractmethod
    def letter(self, key: str) -> Letter | None:
        """What the books say of a delivery key."""

    @abstractmethod
    def epoch(self, exchange: str) -> int:
        """The highest epoch of an exchange in the books, 0 if none."""

    @abstractmethod
    def enter(self, letter: Letter, previous: str | None) -> Letter:
        """Write a letter into the books, in one transaction; the same key again: what stands there.

        Raises:
            Overtaken: the books have a higher epoch of the exchange.
            Restored: the previous delivery is not in the books.
        """

    @abstractmethod
    def filed(self, object: str | None) -> Mapping[str, str]:
        """What messages were pushed to, each with the file of the last one that is there."""


class MailboxOptions(Options):
    """Options of the kind ``mailbox``: there are none."""


class MailboxEndpoint(Endpoint):
    """The box of a department that calls the hub."""

    kind: ClassVar[str] = "mailbox"
    options_type: ClassVar[type[Options]] = MailboxOptions

    def __init__(self, options: Any, *, zone: str = "Asia/Shanghai") -> None:
        self._zone = zone
        self._kept: Post | None = None

    def keep(self, post: Post) -> None:
        """Take the hub's keeping of this box."""
        self._kept = post

    @property
    def capabilities(self) -> Capabilities:
        """Messages in, letters out."""
        return _CAPABILITIES

    def test(self) -> list[Probe]:
        """The hub is always there for itself."""
        return [Probe("信箱", passed=True, detail="由平台保管，由部门的程序以接入凭据来存取")]

    def inspect(self, object: str | None = None) -> list[FoundObject]:
        """What was pushed so far, with the columns of the last message."""
        filed = self._post.filed(object)
        return [FoundObject(name, _columns(_names(self._post, file))) for name, file in filed.items()]

    def check(self, binding: Binding, schema: pa.Schema, *, sink: bool) -> list[str]:
        """Items that are not bound, and what the message named has not."""
        if sink:
            return _unbound(binding, schema)
        try:
            _refuse_foreign(binding)
        except Misconfigured as error:
            return [error.message]
        file = binding.options.get(MESSAGE)
        known = _names(self._post, file) if file else list(binding.columns.values())
        return [f"消息里没有 {name}（信息项 {item}）" for item, name in binding.columns.items() if name not in known]

    def source(self, binding: Binding) -> Source:
        """Read the message that the binding names; nothing, where it names none."""
        if binding.capture not in _CAPABILITIES.captures:
            raise Unsupported(f"信箱不能以 {binding.capture} 方式读取", remedy="改用 pushed")
        _refuse_foreign(binding)
        return MailboxSource(self._post, binding)

    def sink(self, binding: Binding) -> Sink:
        """Deliver letters."""
        return MailboxSink(self._post, binding)

    @property
    def _post(self) -> Post:
        if self._kept is None:
            raise Unsupported("信箱只能在平台内打开", remedy="由平台执行交换")
        return self._kept


class MailboxSource(Source):
    """One message, as it was pushed: every value is the text that came."""

    def __init__(self, post: Post, binding: Binding) -> None:
        self._post = post
        self._binding = binding

    def schema(self) -> pa.Schema:
        """Texts, since nothing vouches for a type."""
        return pa.schema([*(pa.field(item, pa.string()) for item in self._binding.columns), *_RESERVED])

    def batches(self, selection: Selection) -> Iterator[pa.RecordBatch]:
        """The rows in their order; the reference is the row's number in the message, from 1."""
        file = self._binding.options.get(MESSAGE)
        if file is None:
            return
        if not self._post.exists(str(file)):
            raise Malformed("消息的内容不在了", remedy="从备份恢复平台的信箱文件，或请对方换一个消息编号重新推送")
        schema, read = self.schema(), 0
        for batch in _opened(self._post, str(file)):
            columns = [batch.column(name).cast(pa.string()) for name in self._binding.columns.values()]
            numbers = pa.array(range(read + 1, read + batch.num_rows + 1), pa.int64()).cast(pa.string())
            whole = pa.record_batch([*columns, batch.column(OPERATION), numbers], schema=schema)
            read += batch.num_rows
            for start in range(0, whole.num_rows, selection.batch_rows):
                yield whole.slice(start, selection.batch_rows)

    def position(self) -> Position | None:
        """There is no window: the next run reads another message."""
        return None


class MailboxSink(Sink):
    """The letters of one box."""

    def __init__(self, post: Post, binding: Binding) -> None:
        self._post = post
        self._binding = binding

    def begin(self, claim: Claim, schema: pa.Schema) -> Delivery:
        """Start from nothing; what the key staged under lower epochs goes."""
        if problems := _unbound(self._binding, schema):
            raise Misconfigured("；".join(problems), remedy="改正挂接")
        delivery = MailboxDelivery(self._post, self._binding, claim)
        delivery.start(schema)
        return delivery

    def resume(self, claim: Claim, schema: pa.Schema) -> Delivery:
        """Take up what is staged under the claim."""
        return MailboxDelivery(self._post, self._binding, claim)

    def settled(self, key: str) -> Acknowledgement | None:
        """What the books say of a key."""
        letter = self._post.letter(key)
        return _acknowledgement(letter) if letter else None

    def epoch(self, exchange: str) -> int:
        """The highest epoch that committed."""
        return self._post.epoch(exchange)


class MailboxDelivery(Delivery):
    """Files of rows that are a letter from the moment the books name them."""

    def __init__(self, post: Post, binding: Binding, claim: Claim) -> None:
        self._post = post
        self._binding = binding
        self._claim = claim
        self._parts = 0
        self._done = False

    def start(self, schema: pa.Schema) -> None:
        """Remove what the key staged before, but for what is in the books, and lay the first file down."""
        self._sweep(before=self._claim.epoch + 1)
        self._done = self._post.letter(self._claim.key) is not None
        if self._done:
            return  # what is in the books is not written again
        with self._post.write(self._name(0)) as file:
            file.append(schema.remove_metadata().serialize().to_pybytes())

    def stage(self, batch: pa.RecordBatch) -> None:
        """Write the batch; it is on the disk when this returns."""
        if self._done:
            return
        if not self._post.exists(self._name(0)):
            raise Overtaken("暂存已被更高纪元的任务清除", remedy="由当前持有租约的任务继续")
        for start in range(0, batch.num_rows, PART_ROWS):
            part = batch.slice(start, PART_ROWS)
            with self._post.write(self._name(self._parts + 1)) as file:
                file.append(_stream(part))
            self._parts += 1

    def commit(self, manifest: Manifest) -> Acknowledgement:
        """Count what lies there, then one row in the books."""
        claim = manifest.claim
        if (claim.key, claim.exchange) != (self._claim.key, self._claim.exchange):
            raise Unbalanced("清单属于另一次交付", remedy="核对交换批次")
        letter = self._post.letter(claim.key)
        if letter is None:
            letter = self._post.enter(self._written(manifest), manifest.previous)
        if letter.manifest != manifest.digest:
            raise Unbalanced("同一交付键已以另一份清单提交", remedy="核对交换批次，不要重用交付键")
        return _acknowledgement(letter)

    def abort(self) -> None:
        """Remove the files of the key that are in no books."""
        self._sweep(before=self._claim.epoch + 1)

    def _written(self, manifest: Manifest) -> Letter:
        if not self._post.exists(self._name(0)):
            raise StageLost("暂存的信件不在了", remedy="将自动重新读取")
        parts: list[int] = []
        deleted = 0
        while self._post.exists(self._name(len(parts) + 1)):
            batches = list(_opened(self._post, self._name(len(parts) + 1)))
            parts.append(sum(batch.num_rows for batch in batches))
            gone = (pc.sum(pc.equal(batch.column(OPERATION), DELETE)).as_py() for batch in batches)
            deleted += sum(filter(None, gone))
        if sum(parts) != manifest.rows:
            raise Unbalanced(f"暂存 {sum(parts)} 行，清单记 {manifest.rows} 行", remedy="放弃此次暂存，重新读取")
        return Letter(
            key=manifest.claim.key,
            exchange=manifest.claim.exchange,
            object=self._binding.object,
            manifest=manifest.digest,
            head=manifest.head,
            epoch=manifest.claim.epoch,
            staged=self._claim.epoch,
            parts=tuple(parts),
            deleted=deleted,
            at=datetime.now(UTC),
        )

    def _sweep(self, before: int) -> None:
        letter = self._post.letter(self._claim.key)
        kept = letter.staged if letter is not None else None
        for name in self._post.names(_prefix(self._claim.key)):
            epoch = int(name.split(".")[2])
            if epoch < before and epoch != kept:
                self._post.remove(name)

    def _name(self, part: int) -> str:
        return _part(self._claim.key, self._claim.epoch, part)


def pages(post: Post, letter: Letter, start: int, rows: int) -> Iterator[pa.RecordBatch]:
    """Rows of a letter from one on, at most so many; one file of it in memory at a time.

    Raises:
        Malformed: A file of it is not there any more.
    """
    ends = list(accumulate(letter.parts))
    left = min(rows, letter.rows - start)
    for number, end in enumerate(ends, 1):
        if left <= 0:
            return
        if end <= start:
            continue
        if not post.exists(letter.part(number)):
            raise Malformed("信件的内容不在了", remedy="从备份恢复平台的信箱文件，或请平台重新交付")
        for batch in _opened(post, letter.part(number)):
            wanted = batch.slice(start - (end - letter.parts[number - 1]), left)
            if wanted.num_rows:
                yield wanted
            start += wanted.num_rows
            left -= wanted.num_rows


def write_message(post: Post, name: str, batches: Iterator[pa.RecordBatch]) -> int:
    """Lay a message down, durable when this returns; how many rows it has.

    Args:
        post: The keeping of the box.
        name: A file's name that no other message has.
        batches: Columns as texts, and ``_operation``.
    """
    rows = 0
    with post.write(name) as file:
        for batch in batches:
            rows += batch.num_rows
            file.append(_stream(batch))
    return rows


def _stream(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _opened(post: Post, name: str) -> Iterator[pa.RecordBatch]:
    for chunk in post.read(name):
        yield from pa.ipc.open_stream(chunk)


def _names(post: Post, file: str) -> list[str]:
    first = next(_opened(post, file), None)
    return [] if first is None else [name for name in first.schema.names if name != OPERATION]


def _columns(names: Sequence[str]) -> tuple[FoundColumn, ...]:
    return tuple(FoundColumn(name, "C") for name in names)


def _acknowledgement(letter: Letter) -> Acknowledgement:
    return Acknowledgement(
        key=letter.key,
        manifest=letter.manifest,
        written=letter.rows,
        deleted=letter.deleted,
        at=letter.at,
        place=f"信箱 {letter.object}",
        head=letter.head,
    )


def _prefix(key: str) -> str:
    return f"letter.{hashlib.sha256(key.encode()).hexdigest()[:24]}."


def _part(key: str, epoch: int, number: int) -> str:
    return f"{_prefix(key)}{epoch}.{number:06d}"


def _unbound(binding: Binding, schema: pa.Schema) -> list[str]:
    names = [name for name in schema.names if name not in (OPERATION, REFERENCE)]
    return [f"信息项 {name} 没有挂接" for name in names if name not in binding.columns]


def _refuse_foreign(binding: Binding) -> None:
    problems = ["信箱没有前置库表族"] if binding.profile is not None else []
    problems += [f"信箱没有挂接选项 {name}" for name in binding.options if name != MESSAGE]
    if problems:
        raise Misconfigured("；".join(problems), remedy="从挂接中去掉")
